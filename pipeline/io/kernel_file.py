"""Files that the kernel makes up: they look plain, and some of them never end or never answer."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import PurePath

FOLDERS = ("proc", "sys")


def is_made_up(path: str | os.PathLike[str], found: os.stat_result) -> bool:
    """Whether the file at `path`, of which `found` is the status, is one of these."""
    if found.st_dev in _devices():
        return True
    # What else is mounted below these folders has no size either.
    return not found.st_size and PurePath(os.path.realpath(path)).parts[1:2] in _ROOTS


_ROOTS = {(name,) for name in FOLDERS}


@lru_cache(maxsize=1)
def _devices() -> frozenset[int]:
    return frozenset(os.stat(f"/{name}").st_dev for name in FOLDERS if os.path.ismount(f"/{name}"))
