"""How many clips of each running task are done, for the progress display."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Key = tuple[str, int]  # the stage and the partition of a task
Result = TypeVar("Result")

_here = threading.local()
_lock = threading.Lock()
_through: Counter[Key] = Counter()


@contextmanager
def task(stage: str, partition: int) -> Iterator[None]:
    """This thread runs that task, from the start."""
    _here.key = stage, partition
    with _lock:
        _through.pop(_here.key, None)
    try:
        yield
    finally:
        _here.key = None


def ticked() -> Callable[[Result], Result]:
    """A function that counts a clip of this thread's task and hands its result on."""
    key = getattr(_here, "key", None)

    def tick(result: Result) -> Result:
        if key is not None:
            with _lock:
                _through[key] += 1
        return result

    return tick


def through() -> dict[Key, int]:
    """How many clips of each task are done; those tried again count again."""
    with _lock:
        return dict(_through)


def forget() -> None:
    """Forget the tasks of an earlier run."""
    with _lock:
        _through.clear()
