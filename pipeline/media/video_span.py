"""When the pictures of a video are shown, on the clock of its file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pipeline.dataset.span import WHOLE, Span
from pipeline.errors import ClipError
from pipeline.media.bounds import end_s, has_reached, require_end
from pipeline.media.container import best_stream, is_damage, make_ready, opened
from pipeline.media.limits import TIME_LIMIT_S, TimeLimit
from pipeline.media.seek import can_seek, from_keys

LONGEST_SPAN_S = 3 * 3600.0  # of the pictures; longer ones come of damaged times

Lasting = dict[float, float]  # how long each picture lasts (0: not said), by its time


def video_span(
    path: str, time_limit_s: float = TIME_LIMIT_S, span: Span = WHOLE
) -> tuple[float, float] | None:
    """When a video's first picture is shown and its last one ends, in seconds of the file's clock.

    None where there is no video to speak of: no picture stream, a cover, a single picture. The
    first is the first that comes out of the decoder, since a file may begin with what is not shown:
    before an edit list's start, or without what it refers to. No other is decoded. span: for the
    pictures of a stretch of the file, None where it has none. Raises ClipError where the file can't
    be read, its times can't be right, or the span goes beyond its end.
    """
    limit = TimeLimit("audio", time_limit_s)
    with opened(path, "video", limit) as container:
        stream = best_stream(container, "video")
        if stream is None:
            return None
        lasting: Lasting = {}
        packets = limit.within(container.demux(stream), "video", path)
        zero_s = _first_s(packets, stream, lasting)
        if span.start_s and can_seek(container):
            lasting.clear()
            _, packets = next(from_keys(container, stream, zero_s + span.start_s))
            packets = limit.within(packets, "video", path)
        is_over = _gone_through(packets, stream, lasting, zero_s + span.end_s)
        if not is_over:
            require_end(span, end_s(stream) - zero_s, "video", path)
    if len(lasting) < 2:
        return None
    begins_s, ends_s = zero_s, zero_s + span.end_s if is_over else _end_s(lasting)
    if span.start_s:
        begins_s = min(
            (t for t in lasting if has_reached(t - zero_s, span.start_s)), default=ends_s
        )
    if ends_s - begins_s > LONGEST_SPAN_S:
        raise ClipError(f"pictures span {(ends_s - begins_s) / 3600:.0f} hours: {path}")
    return (begins_s, ends_s) if begins_s < ends_s else None


def first_picture_s(path: str, time_limit_s: float = TIME_LIMIT_S) -> float | None:
    """When the first picture is shown, as `video_span` says; None where there is no picture."""
    limit = TimeLimit("audio", time_limit_s)
    with opened(path, "video", limit) as container:
        stream = best_stream(container, "video")
        if stream is None:
            return None
        lasting: Lasting = {}
        packets = limit.within(container.demux(stream), "video", path)
        first_s = _first_s(packets, stream, lasting)
        return first_s if lasting else None


def _first_s(packets: Iterable[Any], stream: Any, lasting: Lasting) -> float:
    """When the first picture is shown, or should be; `lasting` is told what was gone through."""
    is_decodable = stream.codec_context is not None
    if is_decodable:
        make_ready(stream)
    for packet in packets:
        _note(packet, stream, lasting)
        if is_decodable and (shown_s := next(_shown(packet), None)) is not None:
            return shown_s
    return min(lasting, default=0.0)


def _gone_through(packets: Iterable[Any], stream: Any, lasting: Lasting, over_s: float) -> bool:
    """Whether a picture is shown at `over_s` or later; what is decoded after such is left."""
    for packet in packets:
        _note(packet, stream, lasting)
        if packet.dts is not None and has_reached(float(packet.dts * stream.time_base), over_s):
            break
    later = [time_s for time_s in lasting if has_reached(time_s, over_s)]
    for time_s in later:
        del lasting[time_s]
    return bool(later)


def _note(packet: Any, stream: Any, lasting: Lasting) -> None:
    tick = packet.dts if packet.pts is None else packet.pts
    if tick is not None and packet.size and not packet.is_discard:
        time_s, duration_s = (float(t * stream.time_base) for t in (tick, packet.duration or 0))
        lasting[time_s] = duration_s


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
