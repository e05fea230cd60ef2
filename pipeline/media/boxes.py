"""The boxes of which an mp4 or QuickTime file is made."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import BinaryIO, NamedTuple

MOST_BOXES = 1 << 20  # gone through in a row; an mp4 in fragments has two for each
FIRST = (b"ftyp", b"moov", b"wide", b"mdat", b"free", b"skip", b"pnot")  # of such a file
MOST_INNER = 10_000  # looked at in search of what is within others


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


def inner_boxes(file: BinaryIO, parents: Sequence[bytes]) -> Iterator[Box]:
    """All on the way down to those within `parents`, each in the one before; in the file's order.

    The first MOST_INNER of them, so that a file made of boxes is looked at for a moment; none of a
    file of another kind.
    """
    file.seek(4)
    is_movie = file.read(4) in FIRST
    return islice(_inner(file, 0, 1 << 62, parents), MOST_INNER if is_movie else 0)


def _inner(file: BinaryIO, begin: int, end: int, parents: Sequence[bytes]) -> Iterator[Box]:
    for box in boxes(file, begin, end):
        yield box
        if parents and box.kind == parents[0]:
            yield from _inner(file, box.begin, box.end, parents[1:])
