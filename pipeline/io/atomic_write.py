"""Local files and folders that are there whole, and on disk, or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from uuid import uuid4

DAY_S = 24 * 3600
PARTIAL = re.compile(r"\.[0-9a-f]{32}\.partial$")  # a file before its rename, ours or zarr's


@contextmanager
def atomic_write(path: Path, replace: bool = True) -> Iterator[Path]:
    """Where to write the file or folder that is to be at `path`, whole and on disk or not at all.

    Raises FileExistsError where `replace` is False and there is a file already.
    """
    make_folder(path.parent)
    part = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        yield part
        sync(part)
        if replace:
            part.replace(path)
        else:
            os.link(part, path)
        sync(path.parent)
    finally:
        remove(part)


def sweep(path: Path) -> None:
    """Remove what processes left that died, over a day ago, in an `atomic_write` of `path`."""
    for part in path.parent.glob(f".{escape(path.name)}.*.partial"):
        with suppress(FileNotFoundError):  # another process was faster
            if time.time() - part.stat().st_mtime > DAY_S:
                remove(part)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; it is no error where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a local folder and the missing ones above it, on disk before this returns."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def sync(path: Path) -> None:
    """Flush a local file or folder to the disk; some network file systems flush no folders."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)
