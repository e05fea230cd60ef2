"""The pictures of a clip's video with their times, streamed to the stages that look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field as PydanticField

from pipeline import media
from pipeline.clip import Clip
from pipeline.errors import ClipError, MissingModalityError
from pipeline.extractor import ClipInputs, ClipResult, StageSettings, StreamingExtractor
from pipeline.field import Field
from pipeline.media.time_limit import time_limit

Frame = tuple[float, np.ndarray]


@dataclass(frozen=True)
class FrameStream:
    """A clip's frames: (seconds, rgb uint8 [height, width, 3]), decoded anew in each pass.

    Raises ClipError while it is gone through, where something is wrong with the clip.
    """

    begin: Callable[[], Iterator[Frame]]

    def __iter__(self) -> Iterator[Frame]:
        return self.begin()


class Frames(StreamingExtractor):
    """Every picture of the video, or at most `fps` of them a second, upright.

    Streamed by default. Kept, a clip is its pixels one after the other, the number and size of
    its frames, and their times; all frames of a kept clip are of one size.
    """

    version = 1
    reads = frozenset({"video"})
    uses_steps = False
    streams = {"frames": Field(("frame", "height", "width", 3), "uint8", ragged=True)}

    class Settings(StageSettings):
        fps: float | None = PydanticField(None, gt=0, allow_inf_nan=False)
        """At most so many frames a second; null: all of them."""
        time_limit_s: float = time_limit()

    settings: Settings

    def writes(self) -> dict[str, Field]:
        return {
            "pixels": Field(("byte",), "uint8", ragged=True),
            "shape": Field((3,), "int32"),
            "times": Field(("frame",), "float64", unit="s", ragged=True),
        }

    def stream(self, inputs: ClipInputs) -> Mapping[str, Any]:
        return {"frames": FrameStream(lambda: self._decoded(inputs.clip))}

    def restore(self, rows: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        pixels = rows["pixels"].reshape(*rows["shape"], 3)
        times = rows["times"].tolist()
        return {"frames": FrameStream(lambda: zip(times, pixels, strict=True))}

    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        for inputs in batch:
            try:
                rows = _kept(list(self._decoded(inputs.clip)))
                yield ClipResult.ok(rows, length=len(rows["times"]))
            except ClipError as error:
                yield ClipResult.of(error)

    def _decoded(self, clip: Clip) -> Iterator[Frame]:
        if not clip.video:
            raise MissingModalityError("the dataset names no video for this clip")
        yield from media.frames(clip.video, self.settings.fps, self.settings.time_limit_s)


def _kept(frames: list[Frame]) -> dict[str, np.ndarray]:
    pixels = np.stack([rgb for _, rgb in frames])
    return {
        "pixels": pixels.reshape(-1),
        "shape": np.array(pixels.shape[:3], np.int32),
        "times": np.array([time_s for time_s, _ in frames], np.float64),
    }
