"""The pictures of a video, decoded with PyAV as they are gone through."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.errors import ClipError, MissingModalityError
from pipeline.media.container import (
    LOST_END_S,
    announced_s,
    best_stream,
    checked,
    is_damage,
    opened,
    reason_of,
    which,
)
from pipeline.media.interlaced import Timed, deinterlaced
from pipeline.media.rgb import Rgb
from pipeline.media.time_limit import DEFAULT_S, TimeLimit

CLOCK_S = 0.001  # containers round times to milliseconds; `fps` must not stumble over that
LARGEST_PX = 1 << 26  # of a picture: twice 8K; what is larger comes of a damaged header
MOST_LOST = 0.1  # of the pictures; less of them may not decode
USUAL_FPS = 25  # where a file tells neither times nor a rate
Frame = tuple[float, np.ndarray]


@dataclass
class Pictures(Iterable[Frame]):
    """Upright pictures in order: (seconds since the first one, rgb uint8 [height, width, 3]).

    begin: makes them anew for each pass, and tells of that pass here: begins_s, when the first is
    shown on the container's own clock, known once it has come; note, what was taken and what else
    there was, and damaged, the share of the pictures that are, complete once the last has come.
    """

    begin: Callable[[Pictures], Iterator[Frame]]
    begins_s: float = 0.0
    note: str = ""
    damaged: float = 0.0

    def __iter__(self) -> Iterator[Frame]:
        return self.begin(self)

    def tell(self, note: str) -> None:
        """Add to the note, unless it says so already."""
        if note and note not in self.note:
            self.note = "; ".join(filter(None, [self.note, note]))


def frames(path: str, fps: float | None = None, time_limit_s: float = DEFAULT_S) -> Pictures:
    """The pictures of a video, decoded as they are gone through.

    Zero is the first picture that is shown: what start times, edit lists and delays of streams say
    of it is `begins_s`. fps: at most so many pictures a second, the first in each 1/fps; the others
    are never converted. Nothing is sought, decoding uses one thread.

    Raises, while it is gone through, ClipError for a file that is not there, can't be opened, has
    no picture that decodes, stops before its announced end (after its last picture) or takes longer
    than `time_limit_s` to decode; MissingModalityError for mere sound.
    """
    limit = TimeLimit("frames", time_limit_s)
    return Pictures(lambda told: _shown(told, path, fps, limit))


def _shown(told: Pictures, path: str, fps: float | None, limit: TimeLimit) -> Iterator[Frame]:
    told.note, told.damaged = "", 0.0
    with opened(path, "video", limit) as container:
        stream = _required(container, path)
        told.tell(which(container, stream))
        decoder, rgb = _Decoder(container, stream), Rgb(stream, told.tell)
        steps = deinterlaced(decoder.timed(), told.tell)
        time_s, slot = None, -1
        for shown_s, frame in checked(steps, "video", path, limit):
            told.begins_s = shown_s if time_s is None else told.begins_s
            time_s = shown_s - told.begins_s
            if fps is not None and slot == (slot := int((time_s + CLOCK_S) * fps)):
                continue
            yield time_s, rgb(frame)
        if time_s is None:
            raise ClipError(f"{decoder.failure}: {path}")
        last_s = announced_s(stream) - told.begins_s
        if time_s < last_s - LOST_END_S:
            raise ClipError(f"pictures stop at {time_s:.2f} s of {last_s:.2f} s: {path}")
        if decoder.lost > MOST_LOST * decoder.all:
            raise ClipError(f"{decoder.damage}: {path}")
        told.tell(decoder.damage)
        told.damaged = decoder.damaged / decoder.all


def _required(container: Any, path: str) -> Any:
    """The stream of pictures, ready to be decoded on one thread."""
    stream = best_stream(container, "video")
    if stream is None:
        nothing = MissingModalityError if container.streams.audio else ClipError
        raise nothing(f"no picture stream: {path}")
    if stream.codec_context is None:
        raise ClipError(f"pictures can't be decoded: unknown codec: {path}")
    if stream.width * stream.height > LARGEST_PX:
        size = f"{stream.width}×{stream.height}"
        raise ClipError(f"pictures of {size} px are too large: {path}")
    stream.thread_type, stream.codec_context.thread_count = "NONE", 1
    return stream


@dataclass
class _Decoder:
    """The frames of a stream with their times, and what did not decode.

    What does not decode is left out; what is decoded from damaged pictures, up to the next key
    frame, is counted. Times are the frames' own, else those of the packets in order
    (AVI has times of decoding alone), else the frame rate's (bare H.264); they always increase.
    """

    container: Any
    stream: Any
    all: int = 0
    lost: int = 0
    smeared: int = 0
    failure: str = "no picture of the video can be decoded"
    _ticks: deque[int] = field(default_factory=deque)  # of decoding, of packets without a frame yet

    def timed(self) -> Iterator[Timed]:
        interval_s = 1 / float(self.stream.guessed_rate or USUAL_FPS)
        ticks, seconds = self.stream.time_base.denominator, self.stream.time_base.numerator
        last_s = None
        for frame in self._frames():
            tick = self._ticks.popleft() if self._ticks else None
            tick = frame.pts if frame.pts is not None else tick
            time_s = None if tick is None else tick * seconds / ticks
            if last_s is not None and (time_s is None or time_s <= last_s):
                time_s = last_s + interval_s
            last_s = time_s or 0.0
            yield last_s, frame

    @property
    def damage(self) -> str:
        """What to tell of the pictures that are damaged."""
        return f"{self.damaged} of {self.all} pictures are damaged" if self.damaged else ""

    @property
    def damaged(self) -> int:
        """Pictures that did not decode, or were made from ones that are damaged."""
        return self.lost + self.smeared

    def _frames(self) -> Iterator[Any]:
        import av

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
                    yield frame
            except av.error.FFmpegError as error:
                if not is_damage(error):
                    raise
                is_smeared = True
                self.failure = f"video can't be decoded: {reason_of(error)}"
                self.lost += 1
                self.all += 1
                if is_shown and self._ticks:
                    self._ticks.pop()
