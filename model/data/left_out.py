"""Clips that have nothing that a model reads: they are not trained or tested on, but named."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.messages import counted, listed

if TYPE_CHECKING:
    from pipeline.store.cache import Cache

NOTHING = "nothing to go by"
NAMED = 5  # in a note; a run's record names all


@dataclass(frozen=True)
class LeftOut:
    """A clip, the split that it was to be in, and why it has none of the modalities."""

    clip: str
    split: str
    why: str


def left_out(
    cache: Cache, channels: Mapping[str, Sequence[str]], rows: np.ndarray
) -> list[LeftOut]:
    """The clips of the cache at `rows`, which have none of the channels."""
    if not len(rows):
        return []
    clips, reasons = cache.clips, {m: cache[stages[0]].reasons for m, stages in channels.items()}
    ids, splits = clips["id"].tolist(), clips["split"].tolist()
    return [LeftOut(ids[row], splits[row], _why(reasons, row, cache)) for row in rows.tolist()]


def _why(reasons: Mapping[str, Sequence[str]], row: int, stages: Container[str]) -> str:
    told = [f"{m}: {at_source(of[row], stages) or 'no steps'}" for m, of in reasons.items()]
    return "; ".join(told)


def at_source(reason: str, stages: Container[str]) -> str:
    """`faces: no face in 3 frames` without the stages that it went through."""
    stage, _, rest = reason.partition(": ")
    return at_source(rest, stages) if stage in stages else reason


def note(clips: Sequence[LeftOut]) -> str:
    """How many there are in each split, and some of them by name; empty where there is none."""
    if not clips:
        return ""
    splits = [clip.split for clip in clips]
    by_split = ", ".join(f"{splits.count(split)} {split}" for split in dict.fromkeys(splits))
    have = "has" if len(clips) == 1 else "have"
    named = listed([clip.clip for clip in clips], NAMED)
    return f"{counted(len(clips), 'clip')} {have} {NOTHING} and are left out ({by_split}): {named}"


def to_json(clips: Sequence[LeftOut]) -> dict[str, dict[str, str]]:
    """By split, why each clip is left out."""
    content: dict[str, dict[str, str]] = {}
    for clip in clips:
        content.setdefault(clip.split, {})[clip.clip] = clip.why
    return content
