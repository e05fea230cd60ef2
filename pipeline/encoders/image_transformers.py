"""Picture encoders of transformers, each with the image processor of its checkpoint."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch

from pipeline.encoders import huggingface
from pipeline.encoders.image_network import META, Asked, Encoder, Tokens, require_size
from pipeline.errors import UserError
from pipeline.weights.repository import PREPROCESSORS
from pipeline.weights.resolve import Weights

PIL_CODES = {"bilinear": 2, "bicubic": 3}  # of interpolations, in preprocessor_config.json
IN_BYTES = {"do_rescale": False, "do_normalize": False}  # to a processor
AT_RANDOM = {"vit_mae"}  # look at a random part of the picture
# Unused: a layer upon the class token that few checkpoints hold, and what stands for masked places.
OPTIONAL = ("pooler.dense.", "embeddings.mask_token")


class TransformersEncoder(Encoder):
    """`pooler_output` is its own pooling, but the class token where that is a layer of its own."""

    def __init__(self, network: Any, processor: Any, weights: Weights, asked: Asked) -> None:
        self.network = network
        self.processor = processor
        self.how = _overrides(processor, asked)
        for px in sizes(processor, **self.how):
            require_size(weights, px)
        takes = inspect.signature(network.forward).parameters
        # Embeddings of positions are for one size; as they are where it is that.
        interpolates = "interpolate_pos_encoding" in takes
        self.given = {"interpolate_pos_encoding": True} if interpolates else {}

    def prepared(self, faces: np.ndarray) -> torch.Tensor:
        """As the checkpoint's own processor does it."""
        return self._processed(faces, self.how)

    def sized(self, faces: np.ndarray) -> torch.Tensor:
        return self._processed(faces, {**self.how, **IN_BYTES})

    def _processed(self, faces: np.ndarray, how: Mapping[str, Any]) -> torch.Tensor:
        found = self.processor(list(faces), return_tensors="pt", **how)
        return cast(torch.Tensor, found["pixel_values"])

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        found = self._forward(x)
        rows = found.get("pooler_output")
        if rows is None or hasattr(getattr(self.network, "pooler", None), "dense"):
            return self._tokens(found.last_hidden_state, x).pooled("cls")
        return cast(torch.Tensor, rows.flatten(1))

    def output(self, x: torch.Tensor) -> Tokens:
        return self._tokens(self._forward(x).last_hidden_state, x)

    def hidden(self, x: torch.Tensor, first: int, last: int) -> Sequence[Tokens]:
        states = self._forward(x, output_hidden_states=True).hidden_states
        found = states[first : last + 1 or None]
        if len(found) != last - first + 1:
            raise UserError(f"`layer` {first} to {last}: this network has {len(states)}, from "
                            f"0 to {len(states) - 1} or from -{len(states)} to -1")  # fmt: skip
        return [self._tokens(state, x) for state in found]

    def _forward(self, x: torch.Tensor, **how: Any) -> Any:
        return self.network(pixel_values=x, **self.given, **how)

    def _tokens(self, states: torch.Tensor, x: torch.Tensor) -> Tokens:
        """Beside the token of each patch there may be others, which come first."""
        if states.ndim == 4:
            return Tokens.of_map(states)
        patch = getattr(cast(Any, self.network).config, "patch_size", 1)
        places = (x.shape[-2] // patch) * (x.shape[-1] // patch)
        return Tokens.of_row(states, max(0, states.shape[1] - places))


def opened(
    weights: Weights, config: Mapping[str, Any], asked: Asked, device: str
) -> TransformersEncoder:
    """Of a checkpoint in the hub's layout; of one with several towers, the one for pictures.

    Raises UserError for one of another kind, one that needs code of its own, and one of which
    tensors are missing.
    """
    assert weights.path is not None
    kind, described = _kind(weights, config)
    if not any((weights.path / name).is_file() for [name] in PREPROCESSORS):
        raise UserError(f"weights {weights.id!r} have no preprocessor_config.json, which says how "
                        "pictures go in; put that of the model they were made from beside "
                        "their config.json")  # fmt: skip
    if device == META:
        with huggingface.loading, torch.random.fork_rng(devices=[]), torch.device(META):
            network = kind(described).eval()
    else:
        network = huggingface.network(kind.__name__, weights, device, OPTIONAL)
    processor = huggingface.from_pretrained("AutoImageProcessor", weights)
    return TransformersEncoder(network, processor, weights, asked)


def _kind(weights: Weights, config: Mapping[str, Any]) -> tuple[Any, Any]:
    """The class of a checkpoint's network for pictures, and what it is made from."""
    name = config.get("model_type")
    known = huggingface.named("CONFIG_MAPPING")
    if name not in known:
        own = "auto_map" in config
        raise UserError(
            f"weights {weights.id!r} are of a {name!r} model, "
            + ("which needs code of the checkpoint's own; that is never run" if own
               else "which this version of transformers doesn't have")
        )  # fmt: skip
    described = huggingface.from_pretrained("AutoConfig", weights)
    described = getattr(described, "vision_config", described)
    kind = huggingface.named("MODEL_MAPPING").get(type(described), None)
    if kind is None or kind.main_input_name != "pixel_values" or name in AT_RANDOM:
        raise UserError(f"weights {weights.id!r} are of a {name!r} model, which makes no features "
                        "of whole pictures; name a picture encoder")  # fmt: skip
    return kind, described


def _overrides(processor: Any, asked: Asked) -> dict[str, Any]:
    """What the settings say of a network's input, by the names of image processors."""
    said = {
        "image_mean": asked.mean and list(asked.mean),
        "image_std": asked.std and list(asked.std),
        "resample": asked.interpolation and PIL_CODES[asked.interpolation],
    }
    how: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    if asked.input_px is None and asked.crop:
        return how
    size, crop = _set(processor.size), _set(getattr(processor, "crop_size", None))
    is_cropped = bool(getattr(processor, "do_center_crop", False) and crop)
    own = min((crop if is_cropped else size).values())
    px = asked.input_px or own
    grown = px / own if asked.crop else None
    how["size"] = {key: round(value * grown) if grown else px for key, value in size.items()}
    if is_cropped:
        how |= {"do_center_crop": asked.crop, "crop_size": dict.fromkeys(crop, px)}
    if not asked.crop and hasattr(processor, "crop_pct"):
        how["crop_pct"] = 1.0
    return how


def sizes(processor: Any, **how: Any) -> list[float]:
    """All sizes in px that a processor, told `how`, gives a face on its way."""
    each = [how.get(name, _set(getattr(processor, name, None))) for name in ("size", "crop_size")]
    found = [float(px) for size in each for px in size.values()]
    share = how.get("crop_pct", getattr(processor, "crop_pct", None))
    return [*found, *(px / share for px in found if share)]


def _set(size: Any) -> dict[str, int]:
    """The sides of a processor's size that are set."""
    return {key: int(value) for key, value in dict(size or {}).items() if value}
