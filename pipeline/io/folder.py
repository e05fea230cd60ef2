"""Small files in a folder, local or on object storage, each written whole or not at all."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.io.atomic_write import PARTIAL, atomic_write, remove, sync
from pipeline.io.waiting import S3_ANSWER_S, S3_CONNECT_S, S3_TRIES
from pipeline.messages import one_line
from pipeline.system.periodic import LINE_EVERY_S, every

# A listing that is remembered does not show what other processes wrote since.
STORAGE_OPTIONS: dict[str, Any] = {"use_listings_cache": False}

log = logging.getLogger(__name__)


def storage_options(url: str) -> dict[str, Any]:
    """What fsspec is told of object storage: no memory of listings, and how long to wait."""
    if not _is_s3(url):
        return STORAGE_OPTIONS
    limits = {
        "connect_timeout": S3_CONNECT_S(),
        "read_timeout": S3_ANSWER_S(),
        "retries": {"total_max_attempts": max(1, round(S3_TRIES()))},
    }
    return {**STORAGE_OPTIONS, "config_kwargs": limits}


def _is_s3(url: str) -> bool:
    return url.startswith(("s3://", "s3a://"))


class Folder:
    """A folder of a cache, addressed by a path or an fsspec URL (`s3://…`, `memory://…`).

    Object storage that refuses (no such bucket, no credentials) is a UserError.
    """

    def __init__(self, url: str | Path) -> None:
        self.url = str(url).removeprefix("file://").rstrip("/")
        self.path = None if "://" in self.url else Path(self.url)

    @property
    def absolute_url(self) -> str:
        """The URL, whatever the working directory."""
        return self.url if self.path is None else str(self.path.absolute())

    def __truediv__(self, name: str) -> Folder:
        return Folder(f"{self.url}/{name}")

    def read(self, name: str) -> bytes | None:
        """The file's bytes, None where there is no such file."""
        try:
            if self.path is not None:
                return (self.path / name).read_bytes()
            with self._remote() as remote:
                return bytes(remote.cat_file(name))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_all(self, suffix: str) -> dict[str, bytes]:
        """Every file here whose name ends in `suffix`, by name; many requests at a time."""
        names = [name for name in self.names() if name.endswith(suffix)]
        if self.path is not None or not names:
            found = {name: self.read(name) for name in names}
        else:
            with self._remote() as remote:
                answers = remote.cat(names, on_error="return")
                found = {name: _content(answer) for name, answer in answers.items()}
        return {name: content for name, content in found.items() if content is not None}

    def write(self, name: str, content: bytes) -> None:
        """Put the file in place in one step, on disk before this returns."""
        if self.path is None:
            self._put(name, content, "overwrite")
            return
        with atomic_write(self.path / name) as part:
            part.write_bytes(content)

    def create(self, name: str, content: bytes) -> bool:
        """Put the file in place unless there is one: False then. Of two at once, one succeeds.

        On object storage that knows no conditional writes both may; read it back to be sure.
        """
        try:
            if self.path is None:
                self._put(name, content, "create")
            else:
                with atomic_write(self.path / name, replace=False) as part:
                    part.write_bytes(content)
        except FileExistsError:
            return False
        return True

    def remove(self, name: str) -> None:
        """Remove a file, on disk before this returns; it is no error where there is none.

        Raises UserError where the name, or a link, leads out of this folder.
        """
        self._require_within(name)
        with suppress(FileNotFoundError):
            if self.path is None:
                with self._remote() as remote:
                    remote.rm_file(name)
            elif os.path.lexists(target := self.path / name):
                target.unlink()
                sync(target.parent)

    def remove_all(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it; it is no error where there is none.

        Raises UserError where the name, or a link, leads out of this folder.
        """
        self._require_within(name)
        if self.path is not None:
            remove(self.path / name)
            return
        with self._remote() as remote:
            if remote.exists(name):
                remote.rm(name, recursive=True)

    def _require_within(self, name: str) -> None:
        is_within = ".." not in name.split("/") and not name.startswith("/")
        if is_within and self.path is not None:
            real = (self.path / name).parent.resolve()
            is_within = real.is_relative_to(self.path.resolve())
        if not is_within:
            raise UserError(f"{self.url}/{name} leads out of {self.url} and was not removed")

    def names(self) -> list[str]:
        """The names of the files and folders here, sorted; none where the folder is not there."""
        if self.path is not None:
            return sorted(os.listdir(self.path)) if self.path.is_dir() else []
        try:
            with self._remote() as remote:
                return sorted(entry.rstrip("/") for entry in remote.ls("", detail=False))
        except FileNotFoundError:
            return []

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        if self.path is not None:
            return (self.path / name).is_file()
        with self._remote() as remote:
            return bool(remote.isfile(name))

    def files(self) -> list[str]:
        """The paths of all files below, relative to this folder, sorted."""
        if self.path is not None:
            found = (f"{at}/{name}" for at, _, names in os.walk(self.path) for name in names)
            return sorted(path[len(f"{self.path}/") :] for path in found)
        with self._remote() as remote:
            return sorted(remote.find(""))

    def sweep(self) -> None:
        """Remove what processes left that died while they wrote; object storage has none of it."""
        if self.path is not None:
            for name in filter(PARTIAL.search, self.files()):
                (self.path / name).unlink(missing_ok=True)

    def size_bytes(self) -> int:
        """The bytes of all files below."""
        if self.path is not None:
            found = (f"{at}/{name}" for at, _, names in os.walk(self.path) for name in names)
            return sum(map(_size, found))
        with self._remote() as remote:
            return sum(int(entry["size"]) for entry in remote.find("", detail=True).values())

    def _put(self, name: str, content: bytes, mode: str) -> None:
        # One PUT: an object is there whole or not at all.
        try:
            with self._remote() as remote:
                remote.pipe_file(name, content, mode=mode)
        except FileNotFoundError as error:
            raise UserError(f"{self.url} can't be written to: {error}") from error

    def _tell_that_it_waits(self, since: float) -> None:
        waited = time.monotonic() - since
        log.warning("%s has not answered for %.0f s; still trying", self.url, waited)

    @contextmanager
    def _remote(self) -> Iterator[Any]:
        """This folder of object storage, with paths relative to it."""
        # fsspec is needed for object storage alone.
        from fsspec.core import url_to_fs
        from fsspec.implementations.dirfs import DirFileSystem

        try:
            storage, path = url_to_fs(self.url, **storage_options(self.url))
            with every(LINE_EVERY_S, partial(self._tell_that_it_waits, time.monotonic())):
                yield DirFileSystem(path, storage)
        except (FileNotFoundError, FileExistsError, UserError):
            raise
        except ImportError as error:
            raise UserError(f"{self.url}: {error}; for s3://, install smp-sentiment[s3]") from error
        except Exception as error:  # each kind of storage has exceptions of its own
            what = f"{self.url} can't be reached: {one_line(error)}"
            if _is_s3(self.url) and "timeout" in type(error).__name__.lower():
                limits = S3_CONNECT_S, S3_ANSWER_S, S3_TRIES
                settings = ", ".join(f"{limit.variable}={limit():g}" for limit in limits)
                what += f"; to wait longer, raise {settings}"
            raise UserError(what) from error


def _size(path: str) -> int:
    """The bytes of a file, 0 where it is gone since it was listed."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _content(answer: bytes | Exception) -> bytes | None:
    """What `cat` gave for one of many files; None where it is gone since it was listed."""
    if isinstance(answer, FileNotFoundError):
        return None
    if isinstance(answer, Exception):
        raise answer
    return answer
