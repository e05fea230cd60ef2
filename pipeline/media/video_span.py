"""When the pictures of a video are shown, on the clock of its file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from pipeline.dataset.span import WHOLE, Span
from pipeline.errors import ClipError
from pipeline.media.bounds import end_s, has_reached, require_end
from pipeline.media.container import best_stream, is_damage, make_ready, opened
from pipeline.media.limits import TIME_LIMIT_S, TimeLimit
from pipeline.media.seek import can_seek, from_keys

LONGEST_SPAN_S = 3 * 3600.0  # of the pictures; longer ones come of damaged times

Lasting = dict[float, float]  # how long each picture lasts (0: not said), by its time


class Shown(NamedTuple):
    """When the first picture of a span is shown and its last one ends, on the file's clock, in s.

    zero_s: when the first picture of the file is shown.
    """

    begins_s: float
    ends_s: float
    zero_s: float


def video_span(path: str, time_limit_s: float = TIME_LIMIT_S, span: Span = WHOLE) -> Shown | None:
    """When a video's first picture is shown and its last one ends, in seconds of the file's clock.

    None where there is no video to speak of: no picture stream, a cover, a single picture. The
    first is the first that comes out of the decoder, since a file may begin with what is not shown:
    before an edit list's start, or without what it refers to. No other is decoded. span: for the
    pictures of a stretch of the file, None where it has none. Raises ClipError where the file can't
    be read, its times can't be right, or the span goes beyond its end.
    """
    limit = TimeLimit("audio", time_limit_s)
    with opened(path, "video", limit) as container:
        pictures = PictureTimes.of(container, path)
        if pictures is None:
            return None
        packets = limit.within(container.demux(pictures.stream), "video", path)
        pictures.take_first(packets)
        if span.start_s and can_seek(container):
            pictures.lasting.clear()
            keys = from_keys(container, pictures.stream, pictures.zero_s + span.start_s)
            _, packets = next(limit.within(keys, "video", path))
            packets = limit.within(packets, "video", path)
        pictures.take_until(packets, pictures.zero_s + span.end_s)
        return pictures.shown(span)


@dataclass
class PictureTimes:
    """When the pictures of a stream are shown, by its packets as they are gone through.

    lasting: how long each picture lasts (0: not said), by its time. first_s: when the first is
    shown that comes out of the decoder.
    """

    path: str
    stream: Any
    lasting: Lasting = field(default_factory=dict)
    first_s: float | None = None

    @classmethod
    def of(cls, container: Any, path: str) -> Self | None:
        """Of the stream of pictures that is taken, if there is any."""
        stream = best_stream(container, "video")
        if stream is None:
            return None
        if stream.codec_context is not None:
            make_ready(stream)
        return cls(path, stream)

    @property
    def zero_s(self) -> float:
        """When the first picture is shown, or where none can be decoded, should be."""
        return min(self.lasting, default=0.0) if self.first_s is None else self.first_s

    def take(self, packet: Any) -> None:
        """Take note of a packet; decode it as long as no picture has come."""
        tick = packet.dts if packet.pts is None else packet.pts
        if tick is not None and packet.size and not packet.is_discard:
            self.lasting[self._seconds(tick)] = self._seconds(packet.duration or 0)
        if self.first_s is None and self.stream.codec_context is not None:
            self.first_s = next(_shown(packet), None)

    def take_first(self, packets: Iterable[Any]) -> None:
        """Take packets until a picture comes."""
        for packet in packets:
            self.take(packet)
            if self.first_s is not None:
                return
        self.first_s = self.zero_s

    def take_until(self, packets: Iterable[Any], over_s: float) -> None:
        """Take packets until a picture is decoded at `over_s` or later."""
        for packet in packets:
            self.take(packet)
            if packet.dts is not None and has_reached(self._seconds(packet.dts), over_s):
                return

    def _seconds(self, ticks: int) -> float:
        base = self.stream.time_base
        return float(ticks * base.numerator / base.denominator)

    def shown(self, span: Span = WHOLE) -> Shown | None:
        """See `video_span`; by what was taken, as long as the file is open."""
        zero_s, over_s = self.zero_s, self.zero_s + span.end_s
        lasting = {t: s for t, s in self.lasting.items() if not has_reached(t, over_s)}
        is_over = len(lasting) < len(self.lasting)
        if not is_over:
            require_end(span, end_s(self.stream) - zero_s, "video", self.path)
        if len(lasting) < 2:
            return None
        begins_s, ends_s = zero_s, over_s if is_over else _end_s(lasting)
        if span.start_s:
            begins_s = min(
                (t for t in lasting if has_reached(t - zero_s, span.start_s)), default=ends_s
            )
        if ends_s - begins_s > LONGEST_SPAN_S:
            raise ClipError(f"pictures span {(ends_s - begins_s) / 3600:.0f} hours: {self.path}")
        return Shown(begins_s, ends_s, zero_s) if begins_s < ends_s else None


def _end_s(lasting: Lasting) -> float:
    """When the last picture ends."""
    last = max(lasting)
    return last + (lasting[last] or (last - min(lasting)) / (len(lasting) - 1))


def _shown(packet: Any) -> Iterator[float]:
    """The times of the pictures that a packet completes; none where it is damaged."""
    import av

    try:
        frames = packet.decode()
    except av.error.FFmpegError as error:
        if not is_damage(error):
            raise
        return
    yield from (frame.time for frame in frames if frame.time is not None)
