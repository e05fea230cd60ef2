"""Who speaks when, as any diarisation program tells it: an RTTM file a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from pathlib import Path

from pipeline.dataset.tables import read_text
from pipeline.errors import UserError


@dataclass(frozen=True)
class Turn:
    """One speaker's, in seconds of the sound."""

    start_s: float
    end_s: float
    speaker: str


def read_turns(path: Path) -> list[Turn]:
    """The turns of an RTTM file, in order of their beginning. Raises UserError with the line.

    A line is `SPEAKER file channel start length <NA> <NA> speaker`, more fields are passed over,
    and so are lines of other kinds. Source: NIST, Rich Transcription 2009, appendix A.
    """
    found = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        fields = line.split()
        if fields[:1] != ["SPEAKER"]:
            continue
        try:
            start_s, length_s, speaker = float(fields[3]), float(fields[4]), fields[7]
        except (IndexError, ValueError):
            start_s = length_s = -1.0
        if not (start_s >= 0 and length_s > 0 and isfinite(start_s + length_s)):
            told = "SPEAKER, file, channel, start, length, two fields and the speaker"
            raise UserError(f"{path}:{number}: expected {told}")
        found.append(Turn(start_s, start_s + length_s, speaker))
    return sorted(found, key=lambda turn: turn.start_s)


def changes_s(turns: Sequence[Turn]) -> list[float]:
    """When another one speaks, half way between two turns, in seconds of the sound."""
    return [(a.end_s + b.start_s) / 2 for a, b in pairwise(turns) if a.speaker != b.speaker]


def speaker_in(turns: Sequence[Turn], start_s: float, end_s: float) -> str:
    """Who speaks longest from when to when; empty where nobody does."""
    heard_s = dict.fromkeys((turn.speaker for turn in turns), 0.0)
    for turn in turns:
        heard_s[turn.speaker] += max(0.0, min(turn.end_s, end_s) - max(turn.start_s, start_s))
    speaker = max(heard_s, key=heard_s.__getitem__, default="")
    return speaker if heard_s.get(speaker) else ""
