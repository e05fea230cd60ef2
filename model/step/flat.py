"""Weights of several like modules as the rows of one matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]


def flat(every: Sequence[Weights]) -> Tensor:
    """The weights of each module, [modules, weights], in the order of their names in the first."""
    parts = [own[name].flatten() for own in every for name in every[0]]
    return torch.cat(parts).view(len(every), -1)


def views(rows: Tensor, like: Weights) -> dict[str, Tensor]:
    """`rows` [modules, weights] by name, each [modules, …] where `like` has […].

    By one split, whose gradient is one `cat`: not a sum of as many as there are weights, and of
    parts that share no memory, as a gradient may that goes to two weights and is then clipped.
    """
    parts = rows.split([weight.numel() for weight in like.values()], dim=1)
    return {
        name: part.view(len(rows), *weight.shape)
        for (name, weight), part in zip(like.items(), parts, strict=True)
    }
