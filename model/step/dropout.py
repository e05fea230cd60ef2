"""Dropout whose random numbers cost little on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

LEVELS = 1 << 16

_thread = threading.local()


@contextmanager
def drawing_from(generator: Generator) -> Iterator[None]:
    """Let dropout on the CPU, in this thread, draw from `generator` and not from torch's own."""
    _thread.generator = generator
    try:
        yield
    finally:
        _thread.generator = None


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
            return F.dropout(x, self.p)
        kept = round((1 - self.p) * LEVELS)
        draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64)
        draws.random_(-(1 << 63), None, generator=getattr(_thread, "generator", None))
        draws = draws.view(torch.int16)[: x.numel()].view(x.shape)
        factor = torch.lt(draws, kept - LEVELS // 2, out=torch.empty(x.shape, dtype=x.dtype))
        return x * factor.mul_(LEVELS / kept)

    def extra_repr(self) -> str:
        """p, where the module is printed."""
        return f"p={self.p}"
