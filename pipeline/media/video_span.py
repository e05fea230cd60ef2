"""When the pictures of a video are shown, on the clock of its file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pipeline.errors import ClipError
from pipeline.media.container import (
    best_stream,
    is_damage,
    make_ready,
    opened,
)
from pipeline.media.limits import TIME_LIMIT_S, TimeLimit

LONGEST_SPAN_S = 3 * 3600.0  # of the pictures; longer ones come of damaged times


def video_span(path: str, time_limit_s: float = TIME_LIMIT_S) -> tuple[float, float] | None:
    """When a video's first picture is shown and its last one ends, in seconds of the file's clock.

    None where there is no video to speak of: no picture stream, a cover, a single picture. The
    first is the first that comes out of the decoder, since a file may begin with what is not shown:
    before an edit list's start, or without what it refers to. No other is decoded. Raises
    ClipError where the file can't be read, or its times can't be right.
    """
    limit = TimeLimit("audio", time_limit_s)
    with opened(path, "video", limit) as container:
        stream = best_stream(container, "video")
        if stream is None:
            return None
        is_decodable = stream.codec_context is not None
        if is_decodable:
            make_ready(stream)
        packets = limit.within(container.demux(stream), "video", path)
        begins_s, lasting = _gone_through(packets, stream, is_decodable)
    if len(lasting) < 2:
        return None
    last = max(lasting)
    end = last + (lasting[last] or (last - min(lasting)) / (len(lasting) - 1))
    if end - begins_s > LONGEST_SPAN_S:
        raise ClipError(f"pictures span {(end - begins_s) / 3600:.0f} hours: {path}")
    return begins_s, end


def _gone_through(
    packets: Iterable[Any], stream: Any, is_decodable: bool
) -> tuple[float, dict[float, float]]:
    """When the first picture is shown, and how long each lasts (0: not said) by its time."""
    begins_s: float | None = None
    lasting: dict[float, float] = {}
    for packet in packets:
        if begins_s is None and is_decodable:
            begins_s = next(_shown(packet), None)
        tick = packet.dts if packet.pts is None else packet.pts
        if tick is not None and packet.size and not packet.is_discard:
            time_s, duration_s = (float(t * stream.time_base) for t in (tick, packet.duration or 0))
            lasting[time_s] = duration_s
    return min(lasting, default=0.0) if begins_s is None else begins_s, lasting


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
