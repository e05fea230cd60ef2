"""Small files in a folder, local or on object storage, each written whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from pipeline.errors import UserError

# A listing that is remembered does not show what other processes wrote since.
STORAGE_OPTIONS = {"use_listings_cache": False}
PARTIAL = re.compile(r"\.[0-9a-f]{32}\.partial$")  # a file before its rename, ours or zarr's


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
                content: bytes = remote.cat_file(f"{self.url}/{name}")
            return content
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_all(self, suffix: str) -> dict[str, bytes]:
        """Every file here whose name ends in `suffix`, by name; many requests at a time."""
        names = [name for name in self.names() if name.endswith(suffix)]
        found: dict[str, bytes | None] = {}
        if self.path is not None:
            found = {name: self.read(name) for name in names}
        elif names:
            with self._remote() as remote:
                answers = remote.cat([f"{self.url}/{name}" for name in names], on_error="return")
                found = {str(url).rsplit("/", 1)[-1]: _content(a) for url, a in answers.items()}
        return {name: content for name, content in found.items() if content is not None}

    def write(self, name: str, content: bytes) -> None:
        """Put the file in place in one step, on disk before this returns."""
        if self.path is None:
            self._put(name, content, "overwrite")
            return
        with self._part(name, content) as part:
            part.replace(self.path / name)
        sync((self.path / name).parent)

    def create(self, name: str, content: bytes) -> bool:
        """Put the file in place unless there is one: False then. Of two at once, one succeeds.

        On object storage that knows no conditional writes both may; read it back to be sure.
        """
        try:
            if self.path is None:
                self._put(name, content, "create")
            else:
                with self._part(name, content) as part:
                    os.link(part, self.path / name)
        except FileExistsError:
            return False
        return True

    def remove(self, name: str) -> None:
        """Remove a file, on disk before this returns; it is no error where there is none."""
        if self.path is not None:
            target = self.path / name
            if target.exists():
                target.unlink()
                sync(target.parent)
            return
        try:
            with self._remote() as remote:
                remote.rm_file(f"{self.url}/{name}")
        except FileNotFoundError:
            pass

    def remove_all(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it; it is no error where there is none."""
        if self.path is not None:
            target = self.path / name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
            return
        with self._remote() as remote:
            if remote.exists(f"{self.url}/{name}"):
                remote.rm(f"{self.url}/{name}", recursive=True)

    def names(self) -> list[str]:
        """The names of the files and folders here, sorted; none where the folder is not there."""
        if self.path is not None:
            return sorted(os.listdir(self.path)) if self.path.is_dir() else []
        try:
            with self._remote() as remote:
                listing = remote.ls(self.url, detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in listing)

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        if self.path is not None:
            return (self.path / name).is_file()
        with self._remote() as remote:
            return bool(remote.isfile(f"{self.url}/{name}"))

    def files(self) -> list[str]:
        """The paths of all files below, relative to this folder, sorted."""
        if self.path is not None:
            found = (Path(at, name) for at, _, names in os.walk(self.path) for name in names)
            return sorted(path.relative_to(self.path).as_posix() for path in found)
        with self._remote() as remote:
            root = remote._strip_protocol(self.url).rstrip("/") + "/"
            return sorted(str(path).removeprefix(root) for path in remote.find(self.url))

    def sweep(self) -> None:
        """Remove what processes left that died while they wrote; object storage has none of it."""
        if self.path is None:
            return
        for at, _, names in os.walk(self.path):
            for name in filter(PARTIAL.search, names):
                Path(at, name).unlink(missing_ok=True)

    def size_bytes(self) -> int:
        """The bytes of all files below."""
        if self.path is not None:
            return sum(f.stat().st_size for f in self.path.rglob("*") if f.is_file())
        with self._remote() as remote:
            return sum(int(entry["size"]) for entry in remote.find(self.url, detail=True).values())

    @contextmanager
    def _part(self, name: str, content: bytes) -> Iterator[Path]:
        """A finished file beside the one that it is to become, gone afterwards."""
        assert self.path is not None
        target = self.path / name
        make_folder(target.parent)
        part = target.with_name(f"{target.name}.{uuid4().hex}.partial")
        try:
            with open(part, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield part
        finally:
            part.unlink(missing_ok=True)

    def _put(self, name: str, content: bytes, mode: str) -> None:
        # One PUT: an object is there whole or not at all.
        try:
            with self._remote() as remote:
                remote.pipe_file(f"{self.url}/{name}", content, mode=mode)
        except FileNotFoundError as error:
            raise UserError(f"{self.url} can't be written to: {error}") from error

    @contextmanager
    def _remote(self) -> Iterator[Any]:
        # fsspec is needed for object storage alone.
        import fsspec

        try:
            yield fsspec.core.url_to_fs(self.url, **STORAGE_OPTIONS)[0]
        except (FileNotFoundError, FileExistsError):
            raise
        except ImportError as error:
            raise UserError(f"{self.url}: {error}; for s3://, install smp-sentiment[s3]") from error
        except Exception as error:  # each kind of storage has exceptions of its own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{self.url} can't be reached: {reason}") from error


def _content(answer: bytes | Exception) -> bytes | None:
    """What `cat` gave for one of many files; None where it is gone since it was listed."""
    if isinstance(answer, FileNotFoundError):
        return None
    if isinstance(answer, Exception):
        raise answer
    return answer


def make_folder(path: Path) -> None:
    """Make a local folder and those above it that lack, on disk before this returns."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def sync(path: Path) -> None:
    """Flush a local file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
