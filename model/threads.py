"""Work on the CPU that `pipeline.threads` spreads, with torch on one thread in each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from pipeline import threads

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
