"""Memory that is freed and taken again: by layers of a network, steps of a training, chunks."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of glibc's malloc.h
_LARGEST_LAYER = 32 << 20  # as large a threshold for mmap as glibc takes
_MOST_OF_LAYERS, _MOST_OF_STEPS = 256 << 20, (1 << 31) - 1


def keep_freed_layers() -> None:
    """Let this process keep up to 256 MiB of what it frees, in blocks of up to 32 MiB.

    What a few faces become between two layers is 20 MB a block: to have it from the system again at
    each layer, page by page and zeroed, is a third of a network's time. For processes that are told
    to keep less; glibc learns by itself what to keep where nothing is set.
    """
    _set({_MMAP_THRESHOLD: _LARGEST_LAYER, _TRIM_THRESHOLD: _MOST_OF_LAYERS})


def keep_freed_steps() -> None:
    """Let this process keep up to 2 GiB of what it frees, in blocks of any size.

    A step of SMP frees a hundred MB, one of TFN a gigabyte; to have them again from the system is a
    tenth of the time of the one and most of that of the other, whose blocks are larger than any
    threshold for mmap may be: so none is had by mmap.
    """
    _set({_MMAP_MAX: 0, _TRIM_THRESHOLD: _MOST_OF_STEPS})


def _set(options: dict[int, int]) -> None:
    """Only glibc has them (mallopt(3)); they stay, until they are set again."""
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        if hasattr(libc, "gnu_get_libc_version"):
            for option, value in options.items():
                libc.mallopt(option, value)
