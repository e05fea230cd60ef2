"""Where the random numbers of a training step come from: torch, or a generator of one's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

_thread = threading.local()


@dataclass(frozen=True)
class Streams:
    """A generator, or one for each network of a stack.

    place: int64 [], with which `torch.func.vmap` tells a network of a stack its own generator.
    """

    generators: Sequence[Generator]
    place: Tensor | None = None


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


def drawn(draw: Callable[[Generator | None], Tensor]) -> Tensor:
    """What `draw` makes with the generator that it is given; in a stack, with each network's own.

    So each network of a stack has the very numbers that it would have alone, where vmap's own
    randomness would give it others.
    """
    streams = current()
    if streams is None:
        return draw(None)
    if streams.place is None:
        return draw(streams.generators[0])
    return torch.stack([draw(g) for g in streams.generators])[streams.place]
