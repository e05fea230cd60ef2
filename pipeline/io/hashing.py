"""Content digests of files and of settings; files that did not change are not read again."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

BLOCK_BYTES = 1 << 20
CLOCK_S = 2.0  # within which two changes of a file may bear the same time, on the coarsest disks
UNREADABLE = "unreadable"


def of_json(value: Any) -> str:
    """SHA-256 (hex) of a JSON value, whatever the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def of_bytes(content: bytes | memoryview) -> str:
    """SHA-256 (hex) of a file's content."""
    return hashlib.sha256(content).hexdigest()


def sealed(record: Mapping[str, Any], indent: int | None = None) -> bytes:
    """JSON with its own digest under `sha256`, so that a flipped bit is an error."""
    whole = {**record, "sha256": of_json(record)}
    return json.dumps(whole, ensure_ascii=False, indent=indent).encode("utf-8", "surrogatepass")


def unsealed(content: bytes) -> dict[str, Any]:
    """The record that was sealed; ValueError where it is not what was written."""
    try:
        record = json.loads(content.decode("utf-8", "surrogatepass"))
        seal = record.pop("sha256")
    except (KeyError, TypeError, AttributeError):
        raise ValueError("it has no digest") from None
    if of_json(record) != seal:
        raise ValueError("its digest does not fit")
    return dict(record)


def of_text(text: str) -> str:
    """SHA-256 (hex) of a text; lone surrogates are kept apart, not refused."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


Stamp = tuple[int, int]  # size in bytes, time of the last write in ns: the same on every machine


@dataclass(frozen=True)
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
        stamp = stamp_of(self.path)
        if stamp == self.stamp:
            return True
        try:
            return stamp is not None and of_file(self.path) == self.digest
        except UserError:
            return self.digest == UNREADABLE


class FileDigests:
    """SHA-256 of files, remembered by path, size, times of change and inode.

    A file that changed a moment ago may change again and look the same, so it is not remembered.
    The memory is a plain JSON file that may be lost at any time at the cost of reading again.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self.memory = memory or _default_memory()
        self._known: dict[str, list[Any]] = _read_json(self.memory)
        self._changed = False

    def of(self, path: str | Path, digest_of: Callable[[Path], str] | None = None) -> str:
        """The digest of the file at `path`, read only where it changed since the last time.

        digest_of: a function of a module, by whose name its digests are remembered; by default
        over the bytes.
        """
        read, path = digest_of or of_file, Path(path)
        at = os.path.realpath(path)
        key = f"{at}#{read.__module__}.{read.__name__}" if digest_of else at
        stamp = _close_stamp(at)
        known = self._known.get(key)
        if known and known[:-1] == stamp:
            return str(known[-1])
        now = time.time()
        digest = read(path)
        if _close_stamp(at) == stamp and now - stamp[2] / 1e9 > CLOCK_S:
            self._known[key] = [*stamp, digest]
            self._changed = True
        return digest

    def see(self, path: str) -> Seen:
        """The file's digest beside what it looked like before; a bad file is no error here."""
        stamp = stamp_of(path)
        if stamp is None:
            return Seen(path, None, None)
        try:
            return Seen(path, stamp, self.of(path))
        except UserError:
            return Seen(path, stamp, UNREADABLE)

    def of_tree(self, paths: list[Path], root: Path) -> str:
        """One digest of several files, with their names below `root`."""
        return of_json({p.relative_to(root).as_posix(): self.of(p) for p in paths})

    def save(self) -> None:
        """Keep what was learnt for the next process; a read-only home is no error."""
        if not self._changed:
            return
        part = self.memory.with_suffix(f".{os.getpid()}.part")
        try:
            self.memory.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps({**_read_json(self.memory), **self._known}))
            part.replace(self.memory)
            self._sweep()
        except OSError:
            part.unlink(missing_ok=True)
        self._changed = False

    def _sweep(self) -> None:
        """Remove what processes left that died while they saved."""
        for part in self.memory.parent.glob(f"{self.memory.stem}.*.part"):
            if not _is_running(part.stem.rpartition(".")[2]):
                part.unlink(missing_ok=True)


def _is_running(process: str) -> bool:
    """Whether a process of this host has this number."""
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except OSError:  # it is someone else's
        return True
    return True


def _default_memory() -> Path:
    return _memory() / "digests.json"


def _memory() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "smp"


def memory_folder(name: str) -> Path:
    """A folder of the user's for what is remembered and may be lost at any time."""
    folder = _memory() / name
    with suppress(OSError):  # a read-only home is no error: nothing is remembered then
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _read_json(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def stamp_of(path: str | Path) -> Stamp | None:
    """What tells cheaply that a file was written to; None where there is no such file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # a path may hold what no system takes
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _close_stamp(path: str) -> list[int]:
    """Size, times of write and of change, inode: no tool can restore the time of change."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from error
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def of_file(path: str | Path) -> str:
    """SHA-256 (hex) of a file's content; UserError where it can't be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from error
    return digest.hexdigest()
