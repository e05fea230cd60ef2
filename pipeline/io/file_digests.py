"""Digests of files, remembered from run to run: what did not change is not read again."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pipeline.errors import UserError
from pipeline.io.digest_memory import CloseStamp, DigestMemory
from pipeline.io.hashing import of_file, of_json
from pipeline.io.kernel_file import is_made_up
from pipeline.io.user_cache import user_cache

CLOCK_S = 2.0  # within which two changes of a file may bear the same time, on the coarsest disks
UNREADABLE = "unreadable"

Stamp = tuple[int, int]  # size in bytes, time of the last write in ns: the same on every machine


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it was when its digest was taken.

    stamp, digest: None where there was no file; `UNREADABLE` stands for the digest of one that
    can't be read.
    """

    path: str
    stamp: Stamp | None
    digest: str | None

    def is_unchanged(self) -> bool:
        """Whether the file is as it was; its content is read only where its stamp differs."""
        stamp = _stamp(self.path)
        if stamp == self.stamp:
            return True
        try:
            return stamp is not None and of_file(self.path) == self.digest
        except UserError:
            return self.digest == UNREADABLE


def glance(path: str, before: Seen) -> Seen | None:
    """The file as it is, without reading it; None where only reading it can tell.

    A file that looks as it did `before` has that digest; one of which no stamp is known, too.
    """
    stamp = _stamp(path)
    if stamp is None:
        return Seen(path, None, None)
    return Seen(path, stamp, before.digest) if before.stamp in (None, stamp) else None


class FileDigests:
    """SHA-256 of files, remembered by path, size, times of change and inode.

    A file that changed a moment ago may change again and look the same, so it is not remembered.
    What was learnt is saved at the end of this as a context.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self._memory = DigestMemory(memory or user_cache("digests.sqlite"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.close()

    def of(self, path: str | Path, digest_of: Callable[[Path], str] = of_file) -> str:
        """The digest of the file at `path`, read only where it changed since the last time.

        digest_of: a function of a module, by whose name its digests are remembered; by default
        over the bytes.
        """
        path = Path(path)
        at = os.path.realpath(path)
        key = at if digest_of is of_file else f"{at}#{digest_of.__module__}.{digest_of.__name__}"
        stamp = _close_stamp(at)
        if known := self._memory.get(key, stamp):
            return known
        now = time.time()
        digest = digest_of(path)
        if _close_stamp(at) == stamp and now - stamp[2] / 1e9 > CLOCK_S:
            self._memory.put(key, stamp, digest)
        return digest

    def see(self, path: str) -> Seen:
        """The file's digest beside what it looked like before; a bad file is no error here."""
        stamp = _stamp(path)
        if stamp is None:
            return Seen(path, None, None)
        try:
            return Seen(path, stamp, self.of(path))
        except UserError:
            return Seen(path, stamp, UNREADABLE)

    def of_tree(self, paths: list[Path], root: Path) -> str:
        """One digest of several files, with their names below `root`."""
        return of_json({p.relative_to(root).as_posix(): self.of(p) for p in paths})


def _stamp(path: str | Path) -> Stamp | None:
    """What tells cheaply that a file was written to; None where there is no such file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # a path may hold what no system takes
        return None
    is_plain = stat.S_ISREG(found.st_mode) and not is_made_up(path, found)
    return (found.st_size, found.st_mtime_ns) if is_plain else None


def _close_stamp(path: str) -> CloseStamp:
    """Size, times of write and of change, inode: no tool can restore the time of change."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from error
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
