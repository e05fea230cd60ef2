"""The file of a clip, opened once: a plain one, that holds what is played."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import PurePath

from pipeline.errors import ClipError
from pipeline.io.kernel_file import is_made_up
from pipeline.media.elsewhere import plays_others

KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
# What became a pipe since it was looked at is opened at once, and refused.
FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def opened_file(path: str, what: str) -> Iterator[FileIO]:
    """The file at `path`, to be read from its beginning.

    Its `name` is the suffix alone: FFmpeg takes some names for patterns, addresses or options.
    what: how errors call it. Raises ClipError for what is not there or not to be read, what is no
    plain file, and what plays other files.
    """
    _require_plain(path, what)
    with _opened(path, what) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ClipError(f"{what} can't be opened: it was replaced meanwhile: {path}")
        try:
            kind = plays_others(file)
        except OSError as error:
            raise ClipError(f"{what} can't be opened: {reason_of(error)}: {path}") from error
        if kind:
            is_list = f"{what} is a playlist ({kind}), which plays other files; give those"
            raise ClipError(f"{is_list}: {path}")
        file.seek(0)
        file.name = f"clip{PurePath(path).suffix}"
        yield file


def _require_plain(path: str, what: str) -> None:
    """Without opening it, which moves some devices."""
    try:
        found = os.stat(path)
    except FileNotFoundError as error:
        hint = "; download it, a URL is not opened" if "://" in path else ""
        raise ClipError(f"{what} not found{hint}: {path}") from error
    except (OSError, ValueError) as error:
        raise ClipError(f"{what} can't be opened: {reason_of(error)}: {path}") from error
    mode = found.st_mode
    kind = "" if stat.S_ISREG(mode) else KINDS.get(stat.S_IFMT(mode), "no file")
    if not kind and is_made_up(path, found):
        kind = "a file of the kernel"
    if kind:
        raise ClipError(f"{what} can't be opened: Is {kind}: {path}")


def _opened(path: str, what: str) -> FileIO:
    try:
        return FileIO(os.open(path, FLAGS))
    except OSError as error:
        raise ClipError(f"{what} can't be opened: {reason_of(error)}: {path}") from error


def reason_of(error: Exception) -> str:
    """What an error says, without its number and its file."""
    return str(getattr(error, "strerror", None) or error)
