"""Any picture encoder of timm or transformers, as the config.json of its checkpoint says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pipeline.encoders import huggingface, shades
from pipeline.encoders.image_network import META, Asked, Encoder
from pipeline.encoders.precision import FULL, Precision, as_floats, inference, lowered
from pipeline.errors import UserError
from pipeline.messages import one_line
from pipeline.system.spans import span
from pipeline.weights.registry import load_once
from pipeline.weights.resolve import Weights

FACES = 32  # at once, all of one clip: no clip's last bits depend on another's


def loaded(weights: Weights, asked: Asked, device: str, precision: Precision) -> Encoder:
    """The encoder of a checkpoint, or a small random one, once a process."""

    def build() -> Encoder:
        encoder = opened(weights, asked, device)
        encoder.network = lowered(encoder.network, precision)
        encoder.shades = shades.found(encoder.prepared, encoder.sized, device)
        return encoder

    return load_once(("image encoder", weights.digest, asked, device, precision), build)


def width(weights: Weights, asked: Asked) -> int:
    """How many values a face has, found without the weights; UserError where it can't have any."""

    def found() -> int:
        blank = np.zeros((1, 112, 112, 3), np.uint8)
        try:
            encoder = opened(weights, asked, META)
            with inference(FULL, "cpu"):
                rows = answer(encoder, encoder.prepared(blank).to(META), asked)
            [size] = rows.shape[1:]
        except (UserError, MemoryError):
            raise
        except Exception as error:  # any kind, by what the config says and the settings ask for
            reason = one_line(error, with_kind=True)[:300]
            raise UserError(
                f"weights {weights.id!r} make no features of a face with these settings: {reason}"
            ) from error
        return size

    return load_once(("image width", weights.digest, asked), found)


def opened(weights: Weights, asked: Asked, device: str) -> Encoder:
    """By the library that the checkpoint's config.json is of; on `META`, without its numbers."""
    # Only the one library that is needed is imported: timm takes a second.
    if weights.path is None:
        from pipeline.encoders import image_timm

        return image_timm.at_random(asked, device)
    given = asked.architecture and {"architecture": asked.architecture}
    config: Mapping[str, Any] = given or huggingface.config(weights)
    if "architecture" in config:
        from pipeline.encoders import image_timm

        return image_timm.opened(weights, config, asked, device)
    if "model_type" in config or "auto_map" in config:
        from pipeline.encoders import image_transformers

        return image_transformers.opened(weights, config, asked, device)
    raise UserError(
        f"weights {weights.id!r}: their config.json names neither an `architecture`, as timm's "
        "does, nor a `model_type`, as transformers' does"
    )


def answer(encoder: Encoder, x: torch.Tensor, asked: Asked) -> torch.Tensor:
    """What is asked for of the prepared faces x [n, 3, px, px]: [n, width]."""
    if asked.pooling == "own":
        return encoder.pooled(x)
    states = encoder.hidden(x, *asked.layers) if asked.layers else [encoder.output(x)]
    rows = [tokens.pooled(asked.pooling) for tokens in states]
    widths = sorted({row.shape[1] for row in rows})
    if len(widths) > 1:
        told = " and ".join(map(str, widths))
        raise UserError(f"`layer` {list(asked.layers or ())}: these layers are {told} wide, so "
                        "they have no mean; name one")  # fmt: skip
    return torch.stack(rows).mean(dim=0)


@span("network")
def features(
    encoder: Encoder, faces: np.ndarray, asked: Asked, precision: Precision = FULL
) -> np.ndarray:
    """uint8 rgb `faces` [n, h, w, 3] of one clip, at least one, to float32 [n, width]."""
    device = next(encoder.network.parameters()).device
    rows = []
    for start in range(0, len(faces), FACES):
        x = encoder.input_of(faces[start : start + FACES], device)
        with inference(precision, device):
            rows.append(as_floats(answer(encoder, x, asked)))
    return np.concatenate(rows)
