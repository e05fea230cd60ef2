"""How much of one clip is taken, in time, sound and pictures, and what is said of more."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pipeline.errors import ClipError
from pipeline.media.file import reason_of

TIME_LIMIT_S = 600.0  # a clip of ten minutes decodes in a few seconds
SOUND_LIMIT_S = 2 * 3600.0
SOUND_LIMIT_GB = 3.0  # two hours of stereo at 48 kHz
SAMPLE_BYTES = 4
PICTURE_LIMIT_MPX = 40.0  # more than 8K
MOST_MPX = 1_000.0  # half of what FFmpeg can take
CLIP_LIMIT_GPX = 100.0  # 20 minutes of 1080p at 40 frames a second
SEARCH_LIMIT_GPX = 50.0  # an hour of one core

Step = TypeVar("Step")


def beyond(what: str, setting: str, stage: str, path: str) -> ClipError:
    """What to tell the user of a clip that is too much. setting: of `stage`, that would let it."""
    return ClipError(
        f"{what}, raise `{setting}` of {stage} in stages.yaml and run `smp extract --retry`: {path}"
    )


@dataclass(frozen=True)
class TimeLimit:
    """How long decoding may take, in seconds, and the stage whose `time_limit_s` that is."""

    stage: str
    seconds: float

    def within(self, steps: Iterable[Step], what: str, path: str) -> Iterator[Step]:
        """`steps` as FFmpeg makes them, its errors as the clip's.

        what: how errors call it. ClipError once making them has taken too long in all; what the
        taker of a step does meanwhile is not counted.
        """
        import av

        spent_s, remaining = 0.0, iter(steps)
        while True:
            begun_s = time.monotonic()
            try:
                step = next(remaining)
            except StopIteration:
                return
            except av.error.ExitError as error:
                raise self.exceeded(path) from error
            except (av.error.FFmpegError, OSError, ValueError) as error:
                raise ClipError(f"{what} can't be decoded: {reason_of(error)}: {path}") from error
            spent_s += time.monotonic() - begun_s
            if spent_s > self.seconds:
                raise self.exceeded(path)
            yield step

    def exceeded(self, path: str) -> ClipError:
        """What to tell the user of a clip that takes too long."""
        what = f"decoding took longer than the limit of {self.seconds:g} s; to wait longer"
        return beyond(what, "time_limit_s", self.stage, path)


@dataclass(frozen=True)
class SoundLimits:
    """How much sound of one clip is taken: its length, and how large it is in memory."""

    seconds: float = SOUND_LIMIT_S
    gb: float = SOUND_LIMIT_GB

    def require(self, samples: int, channels: int, rate_hz: int, path: str) -> None:
        """ClipError where so many samples of each channel are too many."""
        if samples > self.seconds * rate_hz:
            what = f"sound is longer than the limit of {self.seconds:g} s"
            raise beyond(f"{what}; to take it", "sound_limit_s", "audio", path)
        if samples * channels * SAMPLE_BYTES > self.gb * 1e9:
            size = f"{channels} channel{'s'[: channels != 1]} at {rate_hz} Hz"
            what = f"sound of {size} is larger than the limit of {self.gb:g} GB"
            raise beyond(f"{what}; to take it", "sound_limit_gb", "audio", path)


@dataclass(frozen=True)
class PixelLimits:
    """How much of pictures is taken: pixels of one (millions), and of all of a clip (billions)."""

    picture_mpx: float = PICTURE_LIMIT_MPX
    clip_gpx: float = CLIP_LIMIT_GPX

    def require_picture(self, width: int, height: int, path: str) -> None:
        """ClipError for a picture of too many."""
        if width * height > self.picture_mpx * 1e6:
            what = f"pictures of {width}×{height} are larger than the limit of {self.picture_mpx:g}"
            raise beyond(f"{what} megapixels; to take them", "picture_limit_mpx", "frames", path)

    def require_all(self, pixels: int, path: str) -> None:
        """ClipError for a clip of too many."""
        if pixels > self.clip_gpx * 1e9:
            what = f"pictures are more than the limit of {self.clip_gpx:g} gigapixels in all"
            raise beyond(f"{what}; to take them", "clip_limit_gpx", "frames", path)


@dataclass
class SearchLimit:
    """How many billions of pixels of one clip are searched for faces, and how many were."""

    gpx: float
    path: str
    searched_px: int = 0

    def require(self) -> None:
        """ClipError where it was too many."""
        if self.searched_px > self.gpx * 1e9:
            what = f"faces were searched for in more than the limit of {self.gpx:g} gigapixels"
            raise beyond(f"{what}; to go on", "search_limit_gpx", "faces", self.path)


USUAL_SOUND, USUAL_PIXELS = SoundLimits(), PixelLimits()
