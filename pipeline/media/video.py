"""The frames of a video, decoded with PyAV as they are gone through."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.errors import ClipError, MissingModalityError
from pipeline.media.container import (
    LOST_END_S,
    announced_s,
    best_stream,
    is_damage,
    make_ready,
    opened,
    require_codec,
    which,
)
from pipeline.media.file import reason_of
from pipeline.media.interlaced import Timed, deinterlaced
from pipeline.media.limits import TIME_LIMIT_S, USUAL_PIXELS, PixelLimits, TimeLimit
from pipeline.media.rgb import Rgb

CLOCK_S = 0.001  # containers round times to milliseconds; `fps` must not stumble over that
SAME_S = 1e-4  # within which two times are of one frame
MOST_LOST = 0.1  # of the pictures; less of them may not decode
USUAL_FPS = 25  # where a file tells neither times nor a rate
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
) -> Frames:
    """The frames of a video, decoded as they are gone through.

    Zero is the first picture that is shown: what start times, edit lists and delays of streams say
    of it is `begins_s`. fps: at most so many frames a second, the first in each 1/fps; the others
    are never converted. Nothing is sought, decoding uses one thread.

    Raises, while it is gone through, ClipError for a file that is not there, can't be opened, has
    no picture that decodes, stops before its announced end (after its last picture), takes longer
    than `time_limit_s` to decode or is beyond the limits; MissingModalityError for mere sound.
    """
    limit = TimeLimit("frames", time_limit_s)
    return Frames(lambda told, wanted: _decoded(told, wanted, path, fps, limit, limits))


def _decoded(
    told: Frames,
    wanted: Wanted,
    path: str,
    fps: float | None,
    limit: TimeLimit,
    limits: PixelLimits,
) -> Iterator[Frame]:
    told.note, told.damaged = "", 0.0
    with opened(path, "video", limit) as container:
        stream = _required(container, path, limits)
        told.tell(which(container, stream))
        decoder, rgb = _Decoder(container, stream), Rgb(stream, told.tell)
        steps = deinterlaced(decoder.timed(), told.tell)
        time_s, slot, pixels = None, -1, 0
        for shown_s, frame in limit.within(steps, "video", path):
            limits.require_picture(frame.width, frame.height, path)
            pixels += frame.width * frame.height
            limits.require_all(pixels, path)
            if time_s is None:
                told.begins_s = shown_s
                limits.require_picture(*rgb.fit(frame), path)
            time_s = shown_s - told.begins_s
            if fps is not None and slot == (slot := int((time_s + CLOCK_S) * fps)):
                continue
            if wanted(time_s):
                yield time_s, rgb(frame)
        if time_s is None:
            raise ClipError(f"{decoder.failure}: {path}")
        last_s = announced_s(stream, path) - told.begins_s
        if time_s < last_s - LOST_END_S:
            raise ClipError(f"pictures stop at {time_s:.2f} s of {last_s:.2f} s: {path}")
        damaged = decoder.lost + decoder.smeared
        damage = f"{damaged} of {decoder.all} pictures are damaged" if damaged else ""
        if decoder.lost > MOST_LOST * decoder.all:
            raise ClipError(f"{damage}: {path}")
        told.tell(damage)
        told.damaged = damaged / decoder.all


def _required(container: Any, path: str, limits: PixelLimits) -> Any:
    """The stream of pictures, ready to be decoded on one thread."""
    stream = best_stream(container, "video")
    if stream is None:
        nothing = MissingModalityError if container.streams.audio else ClipError
        raise nothing(f"no picture stream: {path}")
    require_codec(stream, "pictures", path)
    limits.require_picture(stream.width, stream.height, path)
    limits.require_all(stream.width * stream.height * len(stream.index_entries), path)
    make_ready(stream, limits.picture_mpx)
    return stream


@dataclass
class _Decoder:
    """The frames of a stream with their times, and what did not decode.

    What does not decode is left out (lost); what is decoded from damaged pictures, up to the next
    key frame, is counted (smeared). Times are the frames' own, else those of the packets in order
    (AVI has times of decoding alone), else the frame rate's (bare H.264); they always increase.
    """

    container: Any
    stream: Any
    all: int = 0
    lost: int = 0
    smeared: int = 0
    failure: str = "no picture of the video can be decoded"
    _ticks: deque[int] = field(default_factory=deque)  # of decoding, of packets without a frame yet
    _last_s: float | None = None

    def timed(self) -> Iterator[Timed]:
        import av

        interval_s = 1 / float(self.stream.guessed_rate or USUAL_FPS)
        is_smeared = False
        for packet in self.container.demux(self.stream):
            is_shown = packet.size and not packet.is_discard
            if is_shown and packet.dts is not None:
                self._ticks.append(packet.dts)
            try:
                for frame in packet.decode():
                    is_smeared = frame.is_corrupt or (is_smeared and not frame.key_frame)
                    self.smeared += is_smeared
                    self.all += 1
                    yield self._time_s(frame, interval_s), frame
            except av.error.FFmpegError as error:
                if not is_damage(error):
                    raise
                is_smeared = True
                self.failure = f"video can't be decoded: {reason_of(error)}"
                self.lost += 1
                self.all += 1
                if is_shown and self._ticks:
                    self._ticks.pop()

    def _time_s(self, frame: Any, interval_s: float) -> float:
        tick = self._ticks.popleft() if self._ticks else None
        tick = frame.pts if frame.pts is not None else tick
        base = self.stream.time_base
        time_s = None if tick is None else tick * base.numerator / base.denominator
        if self._last_s is not None and (time_s is None or time_s <= self._last_s):
            time_s = self._last_s + interval_s
        self._last_s = time_s or 0.0
        return self._last_s
