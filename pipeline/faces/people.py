"""Which of a clip's people is followed: the rule, and how near the next one came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.faces.likeness import SAME_LATER, unit
from pipeline.faces.tracker import Face, Track

# What a row of `Choice.summary` says of a track.
COLUMNS = ("begins_s", "ends_s", "faces", "area_px", "probability", "person", "is_chosen")


@dataclass(frozen=True)
class Choice:
    """The tracks of a clip, in the order in which they begin, and who is followed.

    people: the person of each track, numbered from 1, the one with the largest area first.
    chosen: the tracks that are followed. runner_up: the summed box area, or speech, of the next
    person (of that person's foremost track, where one track is followed) as a share of what is
    followed.
    """

    tracks: Sequence[Track]
    people: Sequence[int]
    chosen: Sequence[int]
    runner_up: float

    @property
    def faces(self) -> list[Face]:
        """Those that are followed, in order of time."""
        return [face for i in self.chosen for face in self.tracks[i].faces]

    def summary(self) -> np.ndarray:
        """A row a track, float64 [tracks, 7]; see `COLUMNS`."""
        rows = [
            (t.begins_s, t.ends_s, t.count, t.area_px, t.probability, person, i in self.chosen)
            for i, (t, person) in enumerate(zip(self.tracks, self.people, strict=True))
        ]
        return np.array(rows, np.float64).reshape(-1, len(COLUMNS))


def choose(tracks: Sequence[Track], relink: bool, speech: Sequence[float] | None = None) -> Choice:
    """Follow what has the largest summed box area: a track; with `relink` a person, over cuts.

    tracks: at least one. speech: of each track; where it is given, its sum decides in place of the
    area, and some of it is above 0.
    """
    people = told_apart(tracks)
    groups = people if relink else list(range(len(tracks)))
    counts = [track.area_px for track in tracks] if speech is None else speech
    sums = {
        group: sum(count for count, g in zip(counts, groups, strict=True) if g == group)
        for group in groups
    }
    best = max(sums, key=lambda group: sums[group])
    chosen = [i for i, group in enumerate(groups) if group == best]
    others = [sums[g] for g, p in zip(groups, people, strict=True) if p != people[chosen[0]]]
    least = 1.0 if speech is None else 0.0
    return Choice(tracks, people, chosen, max(others, default=0.0) / max(sums[best], least))


def told_apart(tracks: Sequence[Track]) -> list[int]:
    """The person of each track: larger tracks first, each joins whom it resembles most.

    Who is seen at the same time is never one person.
    """
    people: list[list[Track]] = []
    found = {}
    for i in sorted(range(len(tracks)), key=lambda i: -tracks[i].area_px):
        likeness = [_likeness(tracks[i], person) for person in people]
        best = int(np.argmax(likeness)) if likeness else 0
        if not likeness or likeness[best] < SAME_LATER:
            best = len(people)
            people.append([])
        people[best].append(tracks[i])
        found[i] = best + 1
    return [found[i] for i in range(len(tracks))]


def _likeness(track: Track, person: Sequence[Track]) -> float:
    if any(track.begins_s <= t.ends_s and t.begins_s <= track.ends_s for t in person):
        return -1.0
    return float(track.look @ unit(np.sum([t.count * t.look for t in person], axis=0)))
