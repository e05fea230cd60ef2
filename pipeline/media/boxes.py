"""The boxes of which an mp4 or QuickTime file is made."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

MOST_BOXES = 1 << 20  # gone through in a row; an mp4 in fragments has two for each


class Box(NamedTuple):
    """kind: its four letters. begin, end: of its content, in bytes of the file."""

    kind: bytes
    begin: int
    end: int


def boxes(file: BinaryIO, begin: int = 0, end: int = 1 << 62) -> Iterator[Box]:
    """Those that follow each other from `begin` on, up to what is no box any more.

    The last one may end beyond the file, or beyond `end`, by what it says of itself.
    """
    for _ in range(MOST_BOXES):
        file.seek(begin)
        head = file.read(16)
        if not head or begin >= end:
            return
        size, kind, large = struct.unpack(">I4sQ", head.ljust(16, b"\0"))
        inner = begin + (16 if size == 1 else 8)
        begin += large if size == 1 else size
        yield Box(kind, inner, begin)
        if size < 8 and (size != 1 or large < 16):  # the last box, or no box
            return
