"""The pictures of a stream with their times, decoded from its beginning or from amid it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from math import inf
from typing import Any

from pipeline.dataset.span import Span
from pipeline.media.bounds import CLOCK_S
from pipeline.media.container import is_damage
from pipeline.media.file import reason_of
from pipeline.media.interlaced import Timed
from pipeline.media.seek import can_seek, from_keys

SAME_S = 1e-4  # within which two times are of one frame
USUAL_FPS = 25  # where a file tells neither times nor a rate
NEIGHBOURS_S = 0.25  # of which making an interlaced picture whole takes some
LEFT_OUT = {"h264", "mpeg2video", "mpeg4"}  # whose pictures of no use to others tell so


@dataclass
class Pictures:
    """The frames of a stream with their times, and what did not decode.

    What does not decode is left out (lost); what is decoded from damaged pictures, up to the next
    key frame, is counted (smeared). Times are the frames' own, else those of the packets in order
    (AVI has times of decoding alone), else the frame rate's (bare H.264); they always increase.
    zero_s, last_s: when the first picture of the file is shown, and the last one so far; known once
    there is one.
    """

    container: Any
    stream: Any
    zero_s: float = 0.0
    last_s: float | None = None
    all: int = 0
    lost: int = 0
    smeared: int = 0
    failure: str = "no picture of the video can be decoded"
    _ticks: deque[int] = field(default_factory=deque)  # of decoding, of packets without a frame yet
    _is_smeared: bool = False

    def timed(self, span: Span) -> Iterator[Timed]:
        """The pictures with their times on the container's own clock, in seconds.

        Of a span also those next to it, which others may be made from.
        """
        pictures = self._decoded(self.container.demux(self.stream))
        first = next(pictures, None)
        if first is None:
            return
        self.zero_s = first[0]
        if span.start_s == 0:
            yield from chain([first], pictures)
            return
        begin_s = self.zero_s + span.start_s - CLOCK_S
        from_s = begin_s - (NEIGHBOURS_S if first[1].interlaced_frame else 0.0)
        is_sought = can_seek(self.container)
        pictures = self._from_key(from_s) if is_sought else chain([first], pictures)
        for time_s, frame in pictures:
            if time_s < begin_s:
                self.begin_anew()
            if time_s >= from_s:
                yield time_s, frame

    def begin_anew(self, came: int = 0) -> None:
        """What was damaged before a span is none of its damage. came: pictures of it so far."""
        self.all, self.lost, self.smeared = came, 0, came * self._is_smeared

    def _from_key(self, from_s: float) -> Iterator[Timed]:
        """The pictures from the last key frame on that is shown at `from_s` or before.

        It has to come out of the decoder itself, at its time: where pictures are refreshed bit by
        bit a later one does. Those that follow it but are shown before it refer to what was not
        decoded.
        """
        for key_s, packets in from_keys(self.container, self.stream, from_s):
            self.last_s, self._is_smeared = None, False
            self._ticks.clear()
            if key_s == -inf:
                return self._decoded(packets)
            pictures = self._decoded(packets, from_s)
            first = next((p for p in pictures if p[0] > key_s - SAME_S), None)
            if first and first[0] < key_s + SAME_S:
                return chain([first], pictures)
        raise AssertionError("the last of the keys is the beginning")

    def _decoded(self, packets: Iterable[Any], whole_from_s: float = -inf) -> Iterator[Timed]:
        """whole_from_s: before it, what no other picture needs is left out where the codec can."""
        import av

        interval_s = 1 / float(self.stream.guessed_rate or USUAL_FPS)
        context, base = self.stream.codec_context, self.stream.time_base
        can_leave_out = context.name in LEFT_OUT
        for packet in packets:
            is_shown = packet.size and not packet.is_discard
            if is_shown and packet.dts is not None:
                self._ticks.append(packet.dts)
            if can_leave_out and packet.pts is not None:
                is_early = float(packet.pts * base) < whole_from_s
                context.skip_frame = "NONREF" if is_early else "DEFAULT"
            try:
                for frame in packet.decode():
                    self._is_smeared = frame.is_corrupt or (
                        self._is_smeared and not frame.key_frame
                    )
                    self.smeared += self._is_smeared
                    self.all += 1
                    yield self._time_s(frame, interval_s), frame
            except av.error.FFmpegError as error:
                if not is_damage(error):
                    raise
                self._is_smeared = True
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
        if self.last_s is not None and (time_s is None or time_s <= self.last_s):
            time_s = self.last_s + interval_s
        self.last_s = time_s or 0.0
        return self.last_s
