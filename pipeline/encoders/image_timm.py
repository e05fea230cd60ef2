"""Picture encoders of timm, built here and filled from a file: timm itself loads nothing."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

import numpy as np
import timm
import torch
from timm.data import create_transform, resolve_data_config
from timm.data.transforms import MaybeToTensor
from torchvision.transforms import Compose, PILToTensor, ToTensor
from torchvision.transforms.functional import to_pil_image

from pipeline.encoders import huggingface
from pipeline.encoders.image_network import META, Asked, Encoder, Tokens, require_size
from pipeline.encoders.random_init import random_init
from pipeline.errors import UserError
from pipeline.messages import one_line
from pipeline.weights.checkpoint import read_tensors
from pipeline.weights.random_weights import RANDOM
from pipeline.weights.repository import TENSORS, Wanted
from pipeline.weights.resolve import Weights

AS_TENSOR = (MaybeToTensor, ToTensor)
RANDOM_NETWORK = "test_vit"  # 64 wide
# Of a checkpoint's `pretrained_cfg`, what says how pictures go in; the rest says where files are.
INPUT = (
    "input_size", "fixed_input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std",
)  # fmt: skip
# Of timm's own function: a checkpoint's `model_args` must not name files through it.
OF_TIMM = set(inspect.signature(timm.create_model).parameters) - {"kwargs"}


class TimmEncoder(Encoder):
    """`forward_head(pre_logits=True)` is its own pooling: all of the network but the classifier."""

    def __init__(self, network: Any, weights: Weights, asked: Asked) -> None:
        self.network = network
        own = resolve_data_config(_overrides(asked), pretrained_cfg=network.pretrained_cfg)
        self.px = int(own["input_size"][-1])
        require_size(weights, math.floor(self.px / own["crop_pct"]))
        self.transform = create_transform(**own)

    def prepared(self, faces: np.ndarray) -> torch.Tensor:
        """As timm's own evaluation does it."""
        rows = [self.transform(to_pil_image(face)) for face in faces]
        return torch.stack(cast("list[torch.Tensor]", rows))

    def sized(self, faces: np.ndarray) -> torch.Tensor:
        """Up to where a picture becomes a tensor."""
        steps = takewhile(lambda step: not isinstance(step, AS_TENSOR), self.transform.transforms)
        in_pixels = Compose([*steps, PILToTensor()])
        return torch.stack([in_pixels(to_pil_image(face)) for face in faces])

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self.network(x))

    def output(self, x: torch.Tensor) -> Tokens:
        network: Any = self.network
        states = network.forward_features(x)
        if states.ndim == 3:
            return Tokens.of_row(states, getattr(network, "num_prefix_tokens", 0))
        is_last = getattr(network, "output_fmt", "NCHW") == "NHWC"
        return Tokens.of_map(states.permute(0, 3, 1, 2) if is_last else states)

    def hidden(self, x: torch.Tensor, first: int, last: int) -> Sequence[Tokens]:
        forward = cast(Any, self.network).forward_intermediates
        with_first = "return_prefix_tokens" in inspect.signature(forward).parameters
        how = {"return_prefix_tokens": True} if with_first else {}
        indices = list(range(first, last + 1))
        found = forward(x, indices=indices, intermediates_only=True, **how)
        return [_tokens(state) for state in found]


def opened(weights: Weights, config: Mapping[str, Any], asked: Asked, device: str) -> TimmEncoder:
    """Of a checkpoint in timm's layout, or of a bare file where `asked` names its architecture.

    Raises UserError unless all that comes before the classifier is there.
    """
    assert weights.path is not None
    name = config["architecture"]
    if not isinstance(name, str) or not timm.is_model(name):
        raise UserError(f"weights {weights.id!r}: timm {timm.__version__} has no {name!r}")
    network = _built(weights, name, config, device)
    if device != META:
        tensors = read_tensors(_file(weights), network.state_dict(), f"{name} of timm's")
        network.load_state_dict({k: t.float() for k, t in tensors.items()}, strict=False)
    encoder = TimmEncoder(network, weights, asked)
    if asked.input_px and hasattr(network, "set_input_size"):
        network.set_input_size((encoder.px, encoder.px))  # resamples embeddings of positions
    network.eval().requires_grad_(False).to(device)
    return encoder


def at_random(asked: Asked, device: str) -> TimmEncoder:
    """A small network with seeded weights."""
    network = random_init(lambda: timm.create_model(RANDOM_NETWORK, num_classes=0), device)
    encoder = TimmEncoder(network, Weights(RANDOM, None, RANDOM), asked)
    if asked.input_px:
        network.set_input_size((encoder.px, encoder.px))
    return encoder


def _built(weights: Weights, name: str, config: Mapping[str, Any], device: str) -> Any:
    """The network without its classifier; `pretrained` stays False, so that nothing is fetched."""
    arguments = config.get("model_args") or {}
    if foreign := sorted(OF_TIMM & set(arguments)):
        raise UserError(f"weights {weights.id!r}: `model_args` of their config.json hold "
                        f"{foreign[0]!r}, which is no setting of a network")  # fmt: skip
    said = config.get("pretrained_cfg", config)
    try:
        own = {key: said[key] for key in INPUT if said.get(key) is not None}
        on = torch.device(META if device == META else "cpu")
        with huggingface.loading, torch.random.fork_rng(devices=[]), on:
            return timm.create_model(name, pretrained_cfg=own, **{**arguments, "num_classes": 0})
    except MemoryError:
        raise
    except Exception as error:  # any kind, by what a config says
        raise UserError(f"weights {weights.id!r}: timm can't build {name!r} as their config.json "
                        f"says: {one_line(error)[:300]}") from error  # fmt: skip


def _file(weights: Weights) -> Path:
    assert weights.path is not None
    if weights.path.is_file():
        return weights.path
    [file] = Wanted(TENSORS, at_root=True).tensor_files(weights.path)
    return file


def _overrides(asked: Asked) -> dict[str, Any]:
    """What the settings say of a network's input, by the names of timm."""
    said = {
        "img_size": asked.input_px,
        "interpolation": asked.interpolation,
        "mean": asked.mean,
        "std": asked.std,
        "crop_pct": None if asked.crop else 1.0,
    }
    return {name: value for name, value in said.items() if value is not None}


def _tokens(state: Any) -> Tokens:
    """Of a hidden state: a feature map, with the tokens before it where there are any."""
    if not isinstance(state, tuple):
        return Tokens.of_map(state)
    places, first = state
    return Tokens(first, Tokens.of_map(places).patches)
