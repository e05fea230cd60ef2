"""The frames of a video, decoded with PyAV as they are gone through."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.dataset.region import Region, columns
from pipeline.dataset.span import WHOLE, Span
from pipeline.errors import ClipError, MissingModalityError
from pipeline.media.bounds import CLOCK_S, end_s, has_reached, require_end
from pipeline.media.container import (
    LOST_END_S,
    announced_s,
    best_stream,
    make_ready,
    opened,
    require_codec,
    which,
)
from pipeline.media.interlaced import deinterlaced
from pipeline.media.left_off import GoneThrough, LeftOff
from pipeline.media.limits import TIME_LIMIT_S, USUAL_PIXELS, PixelLimits, TimeLimit
from pipeline.media.pictures import SAME_S, Pictures
from pipeline.media.rgb import Rgb

MOST_LOST = 0.1  # of the pictures; less of them may not decode
Frame = tuple[float, np.ndarray]
Wanted = Callable[[float], bool]


@dataclass
class Frames(Iterable[Frame]):
    """Upright frames in order: (seconds since the first one, rgb uint8 [height, width, 3]).

    begin: makes them anew for each pass, as far as their times are wanted, and tells of that pass
    here: begins_s, when the first is shown on the container's own clock, known once it has come;
    note, what was taken and what else there was, and damaged, the share of the pictures that are,
    complete once the last has come.
    """

    begin: Callable[[Frames, Wanted], Iterator[Frame]]
    begins_s: float = 0.0
    note: str = ""
    damaged: float = 0.0

    @classmethod
    def of(cls, frames: Sequence[Frame], *told: Any) -> Frames:
        """Those that are there already. told: the other fields."""
        return cls(lambda _, wanted: (frame for frame in frames if wanted(frame[0])), *told)

    def __iter__(self) -> Iterator[Frame]:
        return self.begin(self, lambda time_s: True)

    def at(self, times: Iterable[float]) -> Iterator[Frame]:
        """Those at `times` (s, ascending) alone: others are not converted, later ones not decoded.

        Fewer where there is none at one of the times.
        """
        left = deque(times)
        for frame in self.begin(self, lambda time_s: abs(time_s - left[0]) < SAME_S):
            left.popleft()
            yield frame
            if not left:
                return

    def tell(self, note: str) -> None:
        """Add to the note, unless it says so already."""
        if note and note not in self.note:
            self.note = "; ".join(filter(None, [self.note, note]))


def frames(
    path: str,
    fps: float | None = None,
    time_limit_s: float = TIME_LIMIT_S,
    limits: PixelLimits = USUAL_PIXELS,
    span: Span = WHOLE,
    region: Region | None = None,
    left_off: LeftOff | None = None,
) -> Frames:
    """The frames of a video, decoded as they are gone through.

    Zero is the first picture that is shown: what start times, edit lists and delays of streams say
    of it is `begins_s`. fps: at most so many frames a second, the first in each 1/fps; the others
    are never converted. span: those of a stretch of the file alone, where zero is the first of
    them; decoding begins at the key frame before, or where another span ended (left_off), and gives
    what decoding all gives. region: the part of each picture that is given. It uses one thread.

    Raises, while it is gone through, ClipError for a file that is not there, can't be opened, has
    no picture that decodes, stops before its announced end or that of the span (after its last
    picture), takes longer than `time_limit_s` to decode or is beyond the limits;
    MissingModalityError for mere sound.
    """
    limit = TimeLimit("frames", time_limit_s)

    def begin(told: Frames, wanted: Wanted) -> Iterator[Frame]:
        told.note, told.damaged = "", 0.0
        going_on = left_off.taken(path, span) if left_off else None
        video = going_on or _opened(path, limit, limits, span)
        with video.file:
            yield from _decoded(told, wanted, video, fps, limits, span, region)
            if left_off:
                left_off.keep(video, span)

    return Frames(begin)


def _opened(path: str, limit: TimeLimit, limits: PixelLimits, span: Span) -> GoneThrough:
    with ExitStack() as file:
        container = file.enter_context(opened(path, "video", limit))
        stream = _required(container, path, limits, span)
        pictures, notes = Pictures(container, stream), [which(container, stream)]
        steps = limit.within(deinterlaced(pictures.timed(span), notes.append), "video", path)
        return GoneThrough(path, file.pop_all(), pictures, steps, notes)


def _decoded(
    told: Frames,
    wanted: Wanted,
    video: GoneThrough,
    fps: float | None,
    limits: PixelLimits,
    span: Span,
    region: Region | None,
) -> Iterator[Frame]:
    path, pictures = video.path, video.pictures
    rgb = Rgb(pictures.stream, told.tell)
    time_s, slot, pixels = None, -1, 0
    for shown_s, frame in video:
        at_s = shown_s - pictures.zero_s
        if has_reached(at_s, span.end_s):
            video.ahead = (shown_s, frame)
            break
        if not has_reached(at_s, span.start_s):
            continue
        limits.require_picture(frame.width, frame.height, path)
        pixels += frame.width * frame.height
        limits.require_all(pixels, path)
        if time_s is None:
            told.begins_s = shown_s
            video.tell(told.tell)
            limits.require_picture(*rgb.fit(frame), path)
        time_s = shown_s - told.begins_s
        if fps is not None and slot == (slot := int((time_s + CLOCK_S) * fps)):
            continue
        if wanted(time_s):
            yield time_s, _part(rgb(frame), region)
    else:
        _require_end(pictures, span, path)
    if time_s is None:
        raise ClipError(f"no picture begins within {span}: {path}")
    video.tell(told.tell)
    damaged = pictures.lost + pictures.smeared
    damage = f"{damaged} of {pictures.all} pictures are damaged" if damaged else ""
    if pictures.lost > MOST_LOST * pictures.all:
        raise ClipError(f"{damage}: {path}")
    told.tell(damage)
    told.damaged = damaged / pictures.all


def _part(picture: np.ndarray, region: Region | None) -> np.ndarray:
    if region is None:
        return picture
    return np.ascontiguousarray(picture[:, columns(region, picture.shape[1])])


def _require_end(pictures: Pictures, span: Span, path: str) -> None:
    """ClipError where the pictures are over before the file says so, or before the span is."""
    if pictures.last_s is None:
        raise ClipError(f"{pictures.failure}: {path}")
    stream, last_s = pictures.stream, pictures.last_s - pictures.zero_s
    announced = announced_s(stream, path) - pictures.zero_s
    if last_s < announced - LOST_END_S:
        raise ClipError(f"pictures stop at {last_s:.2f} s of {announced:.2f} s: {path}")
    require_end(span, max(last_s, end_s(stream) - pictures.zero_s), "video", path)


def _required(container: Any, path: str, limits: PixelLimits, span: Span) -> Any:
    """The stream of pictures, ready to be decoded on one thread."""
    stream = best_stream(container, "video")
    if stream is None:
        nothing = MissingModalityError if container.streams.audio else ClipError
        raise nothing(f"no picture stream: {path}")
    require_codec(stream, "pictures", path)
    limits.require_picture(stream.width, stream.height, path)
    if span == WHOLE:
        limits.require_all(stream.width * stream.height * len(stream.index_entries), path)
    make_ready(stream, limits.picture_mpx)
    return stream
