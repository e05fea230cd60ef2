"""What is done now and then, beside what is done meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_EVERY_S = 10.0  # of progress, where there is no terminal to draw a bar on


@contextmanager
def every(seconds: float, call: Callable[[], None]) -> Iterator[None]:
    """`call` in a thread of its own, every so many seconds, while the context lasts."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(seconds):
            call()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
