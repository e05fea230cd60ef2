"""Work on the CPU spread over threads, with torch on one thread in each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

from pipeline.system import threads

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`work` of each item, in their order, on as many threads as there is leave for."""
    caller = threading.get_ident()

    def alone(item: Item) -> Result:
        if threading.get_ident() != caller:
            torch.set_num_threads(1)  # a new thread begins with as many as there are cores
        return work(item)

    return threads.spread(alone, items)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread of the CPU, then as before.

    On layers this small a second thread gains nothing, costs a factor of six where another
    process wants the core, and makes the last bits depend on how many cores there are.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
