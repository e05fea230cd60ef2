"""How long each thread has waited for what a process loads once: libraries and networks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.system.spans import span


class _Here(threading.local):
    seconds = 0.0
    is_within = False


_here = _Here()


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Count what is done within, and record it as a span; serves as a decorator too."""
    outermost, began = not _here.is_within, time.perf_counter()
    _here.is_within = True
    try:
        with span(name):
            yield
    finally:
        if outermost:
            _here.is_within = False
            _here.seconds += time.perf_counter() - began


def loaded_s() -> float:
    """The seconds that this thread has waited so far."""
    return _here.seconds
