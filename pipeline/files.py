"""Small files in a folder, local or on object storage, each written whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

PARTIAL = re.compile(r"\.[0-9a-f]{32}\.partial$")  # a file before its rename, ours or zarr's


class Folder:
    """A folder of a cache, addressed by a path or an fsspec URL (`s3://…`, `memory://…`)."""

    def __init__(self, url: str | Path) -> None:
        self.url = str(url).rstrip("/")
        self.path = None if "://" in self.url else Path(self.url)

    def __truediv__(self, name: str) -> Folder:
        return Folder(f"{self.url}/{name}")

    def read(self, name: str) -> bytes | None:
        """The file's bytes, None where there is no such file."""
        try:
            if self.path is not None:
                return (self.path / name).read_bytes()
            content: bytes = self._remote().cat_file(f"{self.url}/{name}")
            return content
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, content: bytes) -> None:
        """Put the file in place in one step, on disk before this returns."""
        if self.path is None:
            self._remote().pipe_file(f"{self.url}/{name}", content)
            return
        target = self.path / name
        make_folder(target.parent)
        part = target.with_name(f"{target.name}.{uuid4().hex}.partial")
        try:
            with open(part, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        sync(target.parent)

    def remove(self, name: str) -> None:
        """Remove a file, on disk before this returns; it is no error where there is none."""
        if self.path is not None:
            target = self.path / name
            if target.exists():
                target.unlink()
                sync(target.parent)
        elif self._remote().exists(f"{self.url}/{name}"):
            self._remote().rm_file(f"{self.url}/{name}")

    def remove_all(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it; it is no error where there is none."""
        if self.path is not None:
            target = self.path / name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
        elif self._remote().exists(f"{self.url}/{name}"):
            self._remote().rm(f"{self.url}/{name}", recursive=True)

    def names(self) -> list[str]:
        """The names of the files and folders here, sorted; none where the folder is not there."""
        if self.path is not None:
            return sorted(os.listdir(self.path)) if self.path.is_dir() else []
        try:
            listing = self._remote().ls(self.url, detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in listing)

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        if self.path is not None:
            return (self.path / name).is_file()
        return bool(self._remote().isfile(f"{self.url}/{name}"))

    def files(self) -> list[str]:
        """The paths of all files below, relative to this folder, sorted."""
        if self.path is not None:
            found = (Path(at, name) for at, _, names in os.walk(self.path) for name in names)
            return sorted(path.relative_to(self.path).as_posix() for path in found)
        remote = self._remote()
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
        return int(self._remote().du(self.url)) if self._remote().exists(self.url) else 0

    def _remote(self) -> Any:
        # fsspec is needed for object storage alone.
        import fsspec

        return fsspec.core.url_to_fs(self.url)[0]


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
