"""The people of a clip over time: each one's tracks above the waveform, and the cuts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.html.charts import labelled, ticks_within
from pipeline.inspect.sound import SoundPanel
from pipeline.inspect.stage_result import StageResult

MOST = 6  # people that are drawn, the largest first


@dataclass(frozen=True)
class Lane:
    """A person. spans: of each track its start and duration in seconds, and whether it is chosen.

    share: of the summed box area of all.
    """

    name: str
    spans: tuple[tuple[float, float, bool], ...]
    is_chosen: bool
    faces: int
    share: float


@dataclass(frozen=True)
class Timeline:
    """sound_columns: how many columns of the sound's outline fill the axis; 0 without sound."""

    duration_s: float
    lanes: tuple[Lane, ...]
    more: int
    cuts_s: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]
    outline: str
    sound_columns: float


def timeline(result: StageResult, sound: SoundPanel | None) -> Timeline | None:
    """Of the stage faces; None where an older version of it kept no tracks."""
    rows = result.rows
    if "track_table" not in rows:
        return None
    table, cuts_s = rows["track_table"], rows["cut_times"].tolist()
    heard_s = sound.duration_s if sound else 0.0
    duration_s = max(heard_s, float(table[:, 1].max()), *cuts_s, 0.1)
    people = sorted(set(table[:, 5].astype(int).tolist()))
    return Timeline(
        duration_s,
        tuple(_lane(person, table) for person in people[:MOST]),
        len(people[MOST:]),
        tuple(cuts_s),
        tuple((at, f"{label} s") for at, label in labelled(ticks_within((0.0, duration_s)))),
        sound.outline if sound else "",
        sound.columns * duration_s / heard_s if sound and heard_s else 0.0,
    )


def _lane(person: int, table: np.ndarray) -> Lane:
    own = table[table[:, 5] == person]
    spans = tuple((begin, end - begin, bool(chosen)) for begin, end, *_, chosen in own.tolist())
    share = float(own[:, 3].sum() / max(table[:, 3].sum(), 1.0))
    is_chosen = any(chosen for *_, chosen in spans)
    return Lane(f"Person {person}", spans, is_chosen, int(own[:, 2].sum()), share)


def quality(rows: Mapping[str, np.ndarray]) -> tuple[tuple[str, str], ...]:
    """The measures of how far the faces can be relied on, in words."""
    if "coverage" not in rows:
        return ()
    of = {name: float(rows[name]) for name in rows if rows[name].ndim == 0}
    return (
        ("Mean probability", f"{of['mean_probability']:.3f}"),
        ("Frames with this person", f"{100 * of['coverage']:.0f} %"),
        ("Distance between the eyes", f"{of['eye_distance']:.0f} px"),
        ("Sharpness", f"{of['sharpness']:.3f}"),
        (
            "Head pose",
            f"{of['yaw']:.0f}° yaw, {of['pitch']:.0f}° pitch, {of['roll']:.0f}° roll",
        ),
        ("Box inside the frame", f"{100 * of['inside']:.0f} %"),
        ("Second person", f"{100 * of['runner_up']:.0f} % {_as(rows)}"),
        ("Damaged frames", f"{100 * of['damaged']:.0f} %"),
        ("Cuts", f"{of['cuts']:.0f}"),
    )


def _as(rows: Mapping[str, np.ndarray]) -> str:
    by_speech = np.isfinite(rows.get("speech", np.nan)).all()
    return "of the mouth's motion while there is sound" if by_speech else "as large"
