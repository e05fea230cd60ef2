"""What a media file's header and first packets tell of it: cheap, nothing is decoded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ClipError
from pipeline.media.container import (
    LOST_END_S,
    best_stream,
    indexed_s,
    missing_s,
    opened,
    require_codec,
)
from pipeline.media.limits import TimeLimit

KINDS = ("video", "audio")
LIMIT = TimeLimit("frames", 60.0)  # only a share over a network takes as long to open a file


@dataclass(frozen=True)
class Probe:
    """Whether there are pictures and sound, and how long they last, None where it is not told."""

    video: bool
    audio: bool
    seconds: float | None


def probe(path: str, what: str) -> Probe:
    """Open a media file and look at its streams. what: how errors call it, "video" or "audio".

    Raises ClipError for a file that can't be opened, whose streams have no decoder here, that is
    empty, or that ends well before what its index or its size announces.
    """
    with opened(path, what, LIMIT) as container:
        found = [s for s in (best_stream(container, kind) for kind in KINDS) if s]
        for stream in found:
            require_codec(stream, what, path)
        _require_whole(container, found, what, path)
        filled = _filled(container, found, what, path)
        if not filled or found[0].type not in {"audio", *filled}:
            raise ClipError(f"{what} is empty: {path}")
        duration = container.duration
        seconds = None if duration is None else duration / 1_000_000
        return Probe("video" in filled, "audio" in filled, seconds)


def _require_whole(container: Any, streams: Sequence[Any], what: str, path: str) -> None:
    """A little may lack at the end, as much as the stages do without."""
    there = os.path.getsize(path)
    spans = [indexed_s(stream, there) for stream in streams]
    end_s, missing = missing_s(container, path)
    spans.append((end_s - missing, end_s))
    for held_s, listed_s in spans:
        if held_s < listed_s - LOST_END_S:
            raise ClipError(f"{what} is cut off at {held_s:.2f} s of {listed_s:.2f} s: {path}")


def _filled(container: Any, streams: Sequence[Any], what: str, path: str) -> set[str]:
    """The kinds of those streams that hold anything at all: "video", "audio"."""
    filled: set[str] = set()
    if streams:
        for packet in LIMIT.within(container.demux(*streams), what, path):
            filled |= {packet.stream.type} if packet.size else set()
            if len(filled) == len(streams):
                break
    return filled
