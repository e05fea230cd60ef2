"""Accelerators that tasks share: which one a task is given, and whose turn it is to compute."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pipeline.system.device import allow_tf32, meant
from pipeline.system.threads import at_rest

if TYPE_CHECKING:
    import torch

_lock = threading.Lock()
_tasks: Counter[str] = Counter()  # by device
_turns: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)


@contextmanager
def assigned(setting: str) -> Iterator[str]:
    """The device of a task: of those that the setting may mean, the one with the fewest tasks."""
    with _lock:
        device = min(meant(setting), key=_tasks.__getitem__)
        _tasks[device] += 1
    try:
        yield device
    finally:
        with _lock:
            _tasks[device] -= 1


@contextmanager
def turn(device: str | torch.device, tf32: bool = False) -> Iterator[None]:
    """Within, an accelerator computes for this thread alone, and others decode; a CPU has no turns.

    So what a pass computes on its way is in its memory once. tf32: whether NVIDIA's GPUs may cut
    float32 to 10 bits meanwhile; as that is of the whole process, no other of them computes.
    """
    if (name := str(device)) == "cpu":
        yield
        return
    with ExitStack() as held:
        for one in sorted({_numbered(each) for each in (name, *(meant("auto") if tf32 else ()))}):
            held.enter_context(_waited_for(one))
        if tf32:
            allow_tf32(True)
            held.callback(allow_tf32, False)
        yield


def _numbered(device: str) -> str:
    return device if ":" in device else f"{device}:0"


@contextmanager
def _waited_for(device: str) -> Iterator[None]:
    with _lock:
        lock = _turns[device]
    if not lock.acquire(blocking=False):
        with at_rest():
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
