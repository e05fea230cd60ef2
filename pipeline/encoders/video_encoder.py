"""A video encoder of transformers: from a clip's faces to states along time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pipeline.encoders import huggingface
from pipeline.encoders.layers import Layer, states_of
from pipeline.encoders.precision import FULL, Precision, as_floats, inference, lowered
from pipeline.encoders.random_init import random_transformer
from pipeline.errors import UserError
from pipeline.system.device import uploaded
from pipeline.system.spans import span
from pipeline.weights.registry import load_once
from pipeline.weights.resolve import Weights

if TYPE_CHECKING:
    import torch

    from pipeline.encoders.shades import Shades

# How many of its tokens are of no place; and whether the others go over places first, then times.
KINDS = {"videomae": (0, False), "vivit": (1, False), "timesformer": (1, True)}
MOST_FRAMES = 256
RANDOM_WIDTH, RANDOM_PX = 64, 32
POOLER = ("pooler.",)  # upon the class token; few checkpoints hold it


@dataclass(frozen=True)
class Network:
    """A network, and the image processor of its checkpoint.

    shades: the last step of that, on the network's device; where there are none, all is `prepared`.
    """

    model: Any
    processor: Any
    precision: Precision = FULL
    shades: Shades | None = None

    @span("network")
    def states(self, faces: np.ndarray, layer: Layer) -> np.ndarray:
        """uint8 rgb `faces` [n, h, w, 3], at least one, to float32 [times, width].

        The network sees as many of them as it takes, evenly spaced; where there are fewer, some
        more than once. A time is what the network makes one token of at each place: VideoMAE two
        faces, of 16. The mean is over places.
        """
        x = self.input_of(faces)
        with inference(self.precision, self.model.device):
            tokens = as_floats(states_of(self.model, layer, pixel_values=x))[0]
        first, is_by_place = KINDS[self.model.config.model_type]
        tokens, times, width = tokens[first:], _times(self.model.config), tokens.shape[1]
        if is_by_place:
            return cast(np.ndarray, tokens.reshape(-1, times, width).mean(axis=0))
        return cast(np.ndarray, tokens.reshape(times, -1, width).mean(axis=1))

    def input_of(self, faces: np.ndarray) -> torch.Tensor:
        """float32 [1, frames, 3, px, px] of so many of `faces` as it takes, on its device."""
        frames = self.model.config.num_frames
        chosen = faces[np.round(np.linspace(0, len(faces) - 1, frames)).astype(np.int64)]
        if self.shades is None:
            return uploaded(self.prepared(chosen), self.model.device)
        return self.shades(uploaded(self.sized(chosen), self.model.device))

    def prepared(self, faces: np.ndarray, **how: bool) -> torch.Tensor:
        """What the network is given, float32 [1, n, 3, px, px], as its processor makes it."""
        found = self.processor([list(faces)], return_tensors="pt", **how)["pixel_values"]
        return cast("torch.Tensor", found)

    def sized(self, faces: np.ndarray) -> torch.Tensor:
        """The same before values are scaled and normalised, uint8."""
        return self.prepared(faces, do_rescale=False, do_normalize=False)


def loaded(weights: Weights, device: str, precision: Precision = FULL) -> Network:
    """The network of a checkpoint in the hub's layout or a small random one, once a process."""

    def build() -> Network:
        # It loads torch, which a plan does without.
        from pipeline.encoders import shades

        model, processor = _random(device) if weights.random else _checkpoint(weights, device)
        plain = Network(lowered(model, precision), processor, precision)
        return replace(plain, shades=shades.found(plain.prepared, plain.sized, device))

    return load_once(("video encoder", weights.digest, device, precision), build)


def _checkpoint(weights: Weights, device: str) -> tuple[Any, Any]:
    # They load torch, which a plan does without.
    from pipeline.encoders.image_network import require_size
    from pipeline.encoders.image_transformers import sizes

    huggingface.config(weights, *KINDS)
    model = huggingface.network("AutoModel", weights, device, POOLER)
    config, processor = model.config, huggingface.from_pretrained("AutoImageProcessor", weights)
    if getattr(config, "attention_type", None) == "space_only" or config.num_frames > MOST_FRAMES:
        raise UserError(f"weights {weights.id!r} take each picture by itself, or more than "
                        f"{MOST_FRAMES} at once; name an encoder of short videos")  # fmt: skip
    for px in sizes(processor):
        require_size(weights, px)
    *_, height, width = Network(model, processor).prepared(np.zeros((1, 112, 112, 3), "u1")).shape
    if (height, width) != (config.image_size, config.image_size):
        raise UserError(f"weights {weights.id!r}: their preprocessor_config.json makes pictures of "
                        f"{width} x {height} px, not {config.image_size}")  # fmt: skip
    return model, processor


def _times(config: Any) -> int:
    """How many tokens a place has, one after the other."""
    tubelet = getattr(config, "tubelet_size", 1)
    frames = tubelet if isinstance(tubelet, int) else tubelet[0]
    return int(config.num_frames // frames)


def _random(device: str) -> tuple[Any, Any]:
    model = random_transformer(
        "VideoMAEModel",
        device,
        image_size=RANDOM_PX,
        hidden_size=RANDOM_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * RANDOM_WIDTH,
    )
    square = {"height": RANDOM_PX, "width": RANDOM_PX}
    return model, huggingface.named("VideoMAEImageProcessor")(size=square, crop_size=square)
