"""What is set for the whole process, and why; each when it is asked for, none by an import."""

from __future__ import annotations

import csv
import ctypes
import gc
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from pipeline.system.spans import span

THREADS_A_TASK = 1
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
NEW_OBJECTS = 50_000
LONGEST_FIELD = 1 << 24  # characters; csv's own limit is 131,072


def allow_long_csv_fields() -> None:
    """Let csv read a transcript of more than 10,000 words."""
    csv.field_size_limit(LONGEST_FIELD)


def silence(*loggers: str) -> None:
    """Let libraries log errors alone: what they tell whoever calls them, no user can act on."""
    for name in loggers:
        logging.getLogger(name).setLevel(logging.ERROR)


def keep_openmp_threads(number: int) -> None:
    """Let OpenMP have so many threads, unless the user said how many.

    Before `import feat`, which sets one for the whole process where nothing is set.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(number))


def end_with(parent: int) -> None:
    """Let the kernel kill this process, a fork of `parent`, as soon as that is gone. Linux alone.

    What is killed can't end its children, and a child that computes for long, or waits for a lock
    that nobody has any more, doesn't notice. Gone is the thread that forked, so it must wait.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before
        os.kill(os.getpid(), signal.SIGKILL)


@lru_cache(maxsize=1)
@span("import")
def one_thread_a_task() -> None:
    """Let BLAS, torch and OpenCV compute on one thread each.

    Tasks run side by side, and every engine gives the same bits.
    """
    # Imported here: a plan and a run that has nothing to do need neither.
    import cv2
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(THREADS_A_TASK, "blas")
    torch.set_num_threads(THREADS_A_TASK)
    cv2.setNumThreads(THREADS_A_TASK)


def collect_rarely() -> None:
    """Have the garbage collector look after more new objects than 700: tables hold millions."""
    gc.set_threshold(NEW_OBJECTS)


@contextmanager
def uncollected() -> Iterator[None]:
    """Spare the garbage collector what there is, such as a plan: it would go over it many times."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
