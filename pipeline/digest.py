"""Content digests of files and of settings; files that did not change are not read again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

BLOCK_BYTES = 1 << 20


def of_json(value: Any) -> str:
    """SHA-256 (hex) of a JSON value, whatever the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def of_text(text: str) -> str:
    """SHA-256 (hex) of a text; lone surrogates are kept apart, not refused."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class FileDigests:
    """SHA-256 of files, remembered by path, size, time of change and inode.

    The memory is a plain JSON file that may be lost at any time at the cost of reading again.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self.memory = memory or _default_memory()
        self._known: dict[str, list[Any]] = _read_json(self.memory)
        self._changed = False

    def of(self, path: str | Path) -> str:
        """The digest of the file at `path`, read only where it changed since the last time."""
        path = os.path.realpath(path)
        stat = os.stat(path)
        stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        known = self._known.get(path)
        if known and known[:3] == stamp:
            return str(known[3])
        digest = _sha256(path)
        self._known[path] = [*stamp, digest]
        self._changed = True
        return digest

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
        except OSError:
            part.unlink(missing_ok=True)
        self._changed = False


def _default_memory() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "smp" / "digests.json"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from error
    return digest.hexdigest()
