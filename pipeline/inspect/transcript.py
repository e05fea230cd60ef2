"""What is said in a clip, and whether it was given or heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.dataset.clip import Clip
from pipeline.inspect.stage_result import StageResult
from pipeline.stage import transcript
from pipeline.stage.result import ClipInputs

MOST_CHARACTERS = 1000


@dataclass(frozen=True)
class Transcript:
    """The beginning of a text. left_out: characters of it. heard_by: the stage that heard it."""

    text: str
    left_out: int
    heard_by: str = ""
    template: str = "transcript"


def of_clip(clip: Clip, found: Sequence[StageResult]) -> Transcript:
    """The dataset's transcript, or else what a stage heard."""
    heard = next((f for f in found if "transcript" in f.rows), None)
    if clip.text.strip() or heard is None:
        return _shown(clip.text)
    return _shown(transcript.read(heard.rows["transcript"]), heard.stage)


def panel(result: StageResult) -> Transcript:
    """The text that the stage hands on."""
    return _shown(transcript.read(result.rows["transcript"]))


def text_for(result: StageResult, found: Sequence[StageResult], clip: Clip) -> str:
    """The text that a stage was given."""
    needs = result.identity["needs"]
    rows = [f.rows for f in found if f.stage in needs and "transcript" in f.rows]
    return transcript.text_of(ClipInputs(clip, rows[0] if rows else {}))


def _shown(text: str, heard_by: str = "") -> Transcript:
    return Transcript(text[:MOST_CHARACTERS], max(len(text) - MOST_CHARACTERS, 0), heard_by)
