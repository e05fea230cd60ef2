"""When each word is said, above the waveform on one axis of time."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.html.charts import labelled, ticks_within
from pipeline.inspect.sound import SoundPanel
from pipeline.inspect.stage_result import StageResult
from pipeline.stage import transcript


@dataclass(frozen=True)
class Word:
    """A word, when it begins and ends in s, and the probability of its letters."""

    text: str
    begins_s: float
    ends_s: float
    confidence: float


@dataclass(frozen=True)
class AlignmentPanel:
    """sound_columns: how many columns of the sound's outline fill the axis; 0 without sound."""

    words: tuple[Word, ...]
    score: float
    duration_s: float
    ticks: tuple[tuple[float, str], ...]
    outline: str
    sound_columns: float
    template: str = "alignment"


def panel(result: StageResult, sound: SoundPanel | None) -> AlignmentPanel:
    """Of the stage alignment."""
    rows = result.rows
    said = transcript.read(rows["words"]).split("\n")
    heard_s = sound.duration_s if sound else 0.0
    duration_s = max(heard_s, float(rows["word_times"].max()))
    found = zip(said, rows["word_times"].tolist(), rows["confidence"].tolist(), strict=True)
    return AlignmentPanel(
        tuple(Word(text, begin_s, end_s, sure) for text, (begin_s, end_s), sure in found),
        float(rows["score"]),
        duration_s,
        tuple((at, f"{label} s") for at, label in labelled(ticks_within((0.0, duration_s)))),
        sound.outline if sound else "",
        sound.columns * duration_s / heard_s if sound and heard_s else 0.0,
    )
