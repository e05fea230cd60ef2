"""Memory that is freed and taken again, at every step of a training or chunk of a cache."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's malloc.h
_MOST_KEPT = (1 << 31) - 1


def keep_freed_memory() -> None:
    """Let this process keep up to 2 GiB of what it frees, instead of giving it back at once.

    A step of SMP frees a hundred MB, one of TFN a gigabyte; to have them again from the system,
    page by page and zeroed, is a tenth of the time of the one and most of that of the other, whose
    blocks are larger than any threshold for mmap may be: so none is had by mmap. Only glibc has the
    setting (mallopt(3)); it stays.
    """
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        if hasattr(libc, "gnu_get_libc_version"):
            libc.mallopt(_MMAP_MAX, 0)
            libc.mallopt(_TRIM_THRESHOLD, _MOST_KEPT)
