"""Clips whose content is, in whole or in part, that of another."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from pipeline.checks.clip import Issue
from pipeline.dataset.clip import Clip
from pipeline.dataset.region import Region
from pipeline.io.file_digests import UNREADABLE, FileDigests

TOUCHING_S = 0.1  # by which spans side by side may overlap


def twins(clips: Iterable[Clip]) -> Iterator[Issue]:
    """Clips whose video, or else whose sound, is another's byte for byte, in whole or in part.

    Only files of the same size are read.
    """
    by_size: dict[int, list[Clip]] = defaultdict(list)
    for clip in clips:
        place = clip.video or clip.audio
        if place and os.path.isfile(place) and (size := os.path.getsize(place)):
            by_size[size].append(clip)
    by_content: dict[tuple[str, Region | None], list[Clip]] = defaultdict(list)
    with FileDigests() as digests:
        for alike in by_size.values():
            for clip in alike if len(alike) > 1 else ():
                content = digests.see(clip.video or clip.audio or "").digest
                if content and content != UNREADABLE:
                    by_content[content, clip.region].append(clip)
    for alike in by_content.values():
        for first, clip in _overlapping(alike):
            is_leak = clip.split != first.split
            splits = f" ({first.split}; this is {clip.split})" if is_leak else ""
            kind = "leakage" if is_leak else "same content"
            shared = "the same content as" if clip.span == first.span else "overlaps with"
            yield Issue(kind, clip.id, f"{shared} {first.id}{splits}")


def _overlapping(clips: Sequence[Clip]) -> Iterator[tuple[Clip, Clip]]:
    """Each clip of one file that begins within another, and that which goes on longest."""
    first: Clip | None = None
    for clip in sorted(clips, key=lambda clip: clip.span.start_s):
        if first and clip.span.start_s < first.span.end_s - TOUCHING_S:
            yield first, clip
        if first is None or clip.span.end_s > first.span.end_s:
            first = clip
