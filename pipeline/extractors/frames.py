"""The frames of a clip's video with their times, streamed to the stages that look at them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import Field as PydanticField

from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.dataset.span import WHOLE
from pipeline.errors import ClipError, MissingModalityError
from pipeline.media.limits import CLIP_LIMIT_GPX, MOST_MPX, PICTURE_LIMIT_MPX
from pipeline.stage.extractor import StreamingExtractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, runtime, time_limit


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

        picture_limit_mpx: float = runtime(PICTURE_LIMIT_MPX, gt=0, le=MOST_MPX)
        """Largest picture, in megapixels; a clip with larger ones fails."""

        clip_limit_gpx: float = runtime(CLIP_LIMIT_GPX, gt=0)
        """Most pixels of one clip, all its pictures together, in gigapixels; more fails."""

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
            try:
                yield self._kept(self._frames(inputs.clip))
            except ClipError as error:
                yield ClipResult.of(error)

    def _kept(self, frames: media.Frames) -> ClipResult:
        times, images = zip(*frames, strict=True)
        rows = {
            "pixels": np.stack(images).reshape(-1),
            "shape": (len(images), *images[0].shape[:2]),
            "times": times,
            "begins_s": frames.begins_s,
            "damaged": frames.damaged,
            "note": list(frames.note.encode()),
        }
        typed = {name: np.asarray(rows[name], field.dtype) for name, field in self.writes().items()}
        return ClipResult.ok(typed, length=len(times), note=frames.note)

    def _frames(self, clip: Clip) -> media.Frames:
        if not clip.video:
            return media.Frames(_none)
        settings = self.settings
        limits = media.PixelLimits(settings.picture_limit_mpx, settings.clip_limit_gpx)
        left_off = self._left_off if clip.span != WHOLE else None
        how = settings.fps, settings.time_limit_s, limits
        return media.frames(clip.video, *how, clip.span, clip.region, left_off)

    @cached_property
    def _left_off(self) -> media.LeftOff:
        """Spans that lie side by side are decoded in one pass."""
        return media.LeftOff()


def _none(*_: object) -> Iterator[media.Frame]:
    raise MissingModalityError("the dataset names no video for this clip")
