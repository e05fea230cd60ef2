"""The frames of a clip's video with their times, streamed to the stages that look at them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field as PydanticField

from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.errors import ClipError, MissingModalityError
from pipeline.stage.extractor import (
    ClipInputs,
    ClipResult,
    StageSettings,
    StreamingExtractor,
    time_limit,
)
from pipeline.stage.field import Field


class Frames(StreamingExtractor):
    """Every frame of the video, or at most `fps` of them a second, upright.

    Times count from the first picture shown, which is at `begins_s` on the file's own clock.
    Streamed by default. Kept, a clip is its pixels one after the other, the number and size of
    its frames, and their times; all frames of a kept clip are of one size. The note is kept twice:
    for people, and as UTF-8 for the stages that the frames are restored for.
    """

    version = 2
    reads = frozenset({"video"})
    uses_steps = False
    streams = {"frames": Field(("frame", "height", "width", 3), "uint8", ragged=True)}

    class Settings(StageSettings):
        fps: float | None = PydanticField(None, gt=0, allow_inf_nan=False)
        """Maximum frames per second; null for all of them."""
        time_limit_s: float = time_limit()

    settings: Settings

    def writes(self) -> dict[str, Field]:
        return {
            "pixels": Field(("byte",), "uint8", ragged=True),
            "shape": Field((3,), "int32"),
            "times": Field(("frame",), "float64", unit="s", ragged=True),
            "begins_s": Field((), "float64", unit="s"),
            "damaged": Field((), "float32", unit="share of the pictures"),
            "note": Field(("byte",), "uint8", unit="UTF-8", ragged=True),
        }

    def stream(self, inputs: ClipInputs) -> Mapping[str, Any]:
        """`media.Frames`, decoded anew in each pass."""
        return {"frames": self._frames(inputs.clip)}

    def restore(self, rows: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        pixels = rows["pixels"].reshape(*rows["shape"], 3)
        frames = list(zip(rows["times"].tolist(), pixels, strict=True))
        note, damaged = rows["note"].tobytes().decode(), float(rows["damaged"])
        return {"frames": media.Frames.of(frames, float(rows["begins_s"]), note, damaged)}

    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        for inputs in batch:
            frames = self._frames(inputs.clip)
            try:
                rows = _kept(frames)
                yield ClipResult.ok(rows, length=len(rows["times"]), note=frames.note)
            except ClipError as error:
                yield ClipResult.of(error)

    def _frames(self, clip: Clip) -> media.Frames:
        if not clip.video:
            return media.Frames(_none)
        return media.frames(clip.video, self.settings.fps, self.settings.time_limit_s)


def _none(*_: object) -> Iterator[media.Frame]:
    raise MissingModalityError("the dataset names no video for this clip")


def _kept(frames: media.Frames) -> dict[str, np.ndarray]:
    times, images = zip(*frames, strict=True)
    pixels = np.stack(images)
    return {
        "pixels": pixels.reshape(-1),
        "shape": np.array(pixels.shape[:3], np.int32),
        "times": np.array(times, np.float64),
        "begins_s": np.array(frames.begins_s, np.float64),
        "damaged": np.array(frames.damaged, np.float32),
        "note": np.frombuffer(frames.note.encode(), np.uint8),
    }
