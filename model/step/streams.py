"""Where the random numbers of a training step come from: torch, or a generator of one's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

Draw = Callable[[torch.Size, Generator | None], Tensor]
"""Random numbers of a shape, from a generator or from torch's own."""

_thread = threading.local()


@dataclass(frozen=True)
class Streams:
    """A generator, or one for each network of a stack.

    place: int64 [], with which `torch.func.vmap` tells a network of a stack its own generator.
    filled: how many rows of a batch are clips, of how many; None where all are.
    """

    generators: Sequence[Generator]
    place: Tensor | None = None
    filled: tuple[int, int] | None = None


@contextmanager
def drawing_from(streams: Streams) -> Iterator[None]:
    """Let what uses `drawn`, in this thread, draw from `streams` and not from torch's generator."""
    before = current()
    _thread.streams = streams
    try:
        yield
    finally:
        _thread.streams = before


def current() -> Streams | None:
    """What this thread draws from; None where that is torch's own generator."""
    return getattr(_thread, "streams", None)


def is_stacked() -> bool:
    """Whether several networks compute as one, with a leading axis that only vmap sees."""
    streams = current()
    return streams is not None and streams.place is not None


def is_one_step(x: Tensor) -> bool:
    """Whether x [n, steps, width] has a single step, in a stack of networks.

    What chooses among steps, or goes from one to the next, can be left out there. Only in a stack,
    where the weights of it still get zeros for a gradient, being parts of one buffer, and not none.
    """
    return is_stacked() and x.shape[1] == 1


def drawn(draw: Draw, like: Tensor, clips: int = 0) -> Tensor:
    """What `draw` makes in the shape of `like`; in a stack, with each network's own generator.

    So each network of a stack has the very numbers that it would have alone, where vmap's own
    randomness would give it others. clips: the axis of the clips. Rows that are none draw nothing
    on the CPU, and are zero, as a network alone has no such rows. On an accelerator, whose numbers
    are others in a stack anyway, they draw too: a step has the same shapes every time.
    """
    streams = current()
    if streams is None:
        return draw(like.shape, None)
    if streams.place is None:
        return draw(like.shape, streams.generators[0])
    shape, missing = like.shape, 0
    if streams.filled and like.device.type == "cpu":
        rows, of = streams.filled
        missing = like.shape[clips] - like.shape[clips] * rows // of
        shape = torch.Size(n - missing * (axis == clips) for axis, n in enumerate(shape))
    every = torch.stack([draw(shape, g) for g in streams.generators])
    found = every.index_select(0, streams.place[None])[0]  # torch 2.6 can't map [place]
    return F.pad(found, [0, 0] * (like.dim() - 1 - clips) + [0, missing]) if missing else found
