"""Dropout whose random numbers cost little on the CPU."""

from __future__ import annotations

from functools import partial

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from model.step.streams import drawn, is_stacked

LEVELS = 1 << 16


class Dropout(nn.Module):
    """Each value is zero with probability p in training, the others are 1 / (1 − p) as large.

    torch's own draws 53 random bits a value, one value at a time, which is a tenth of a training
    step on the CPU; 16 bits, four values at a draw, are enough. p is met to 1 / 65,536, and the
    others are scaled by what p then is. On a GPU it is torch's own.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape to the same shape; x itself in evaluation."""
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return dropout(x, self.p)
        return x * drawn(partial(_factors, x.dtype, self.p), x)

    def extra_repr(self) -> str:
        """p, where the module is printed."""
        return f"p={self.p}"


def dropout(x: Tensor, p: float, clips: int = 0) -> Tensor:
    """torch's dropout, drawn in a stack of networks as each of them would draw it alone.

    clips: the axis of the clips.
    """
    if not is_stacked():
        return F.dropout(x, p)

    def kept(shape: torch.Size, generator: Generator | None) -> Tensor:
        noise = torch.empty(shape, dtype=x.dtype, device=x.device)
        return noise.bernoulli_(1 - p, generator=generator)

    return x * drawn(kept, x, clips).div_(1 - p)


def _factors(dtype: torch.dtype, p: float, shape: torch.Size, own: Generator | None) -> Tensor:
    """0 with probability p, else what the others are scaled by."""
    kept, count = round((1 - p) * LEVELS), shape.numel()
    draws = torch.empty(-(-count // 4), dtype=torch.int64)
    draws.random_(-(1 << 63), None, generator=own)
    draws = draws.view(torch.int16)[:count].view(shape)
    factor = torch.lt(draws, kept - LEVELS // 2, out=torch.empty(shape, dtype=dtype))
    return factor.mul_(LEVELS / kept)
