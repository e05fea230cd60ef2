"""Media that lies where the clips' media lies, but is none of theirs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pipeline.checks.clip import Issue
from pipeline.dataset.clip import SOUNDS, VIDEOS, Clip
from pipeline.messages import counted

MEDIA = VIDEOS | SOUNDS
STRAY = "file without a row"


def strays(clips: Iterable[Clip], root: Path, extras: Mapping[str, str]) -> Iterator[Issue]:
    """The files that no clip names, in the folders of those that clips name.

    extras: beginnings of names that are expected there, and what such files are; they are counted.
    """
    places = [place for clip in clips for place in (clip.video, clip.audio) if place]
    named = {os.path.abspath(place) for place in places if "://" not in place}
    for folder in sorted(filter(os.path.isdir, _folders(named, root))):
        expected: Counter[str] = Counter()
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            is_media = os.path.splitext(name)[1].lower() in MEDIA and not name.startswith(".")
            if not is_media or path in named:
                continue
            if begin := next(filter(name.startswith, extras), None):
                expected[begin] += 1
            else:
                yield Issue(STRAY, path, "no valid row names it")
        for begin, count in expected.items():
            what = f"{counted(count, 'file')} {begin}…, not used: {extras[begin]}"
            yield Issue(STRAY, folder, what)


def _folders(named: Iterable[str], root: Path) -> set[str]:
    """Where the named files lie, and beside `Raw/<video>/<clip>.mp4` all other videos' folders."""
    folders = {os.path.dirname(place) for place in named}
    raw = os.path.join(os.path.abspath(root), "Raw")
    if any(os.path.dirname(folder) == raw for folder in folders) and os.path.isdir(raw):
        folders |= {entry.path for entry in os.scandir(raw) if entry.is_dir()}
    return folders
