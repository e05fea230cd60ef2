"""Packets of a stream of pictures from a key frame on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

TELLS_TIMES = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts"}  # of every packet
SEEKS = 3  # to earlier and earlier key frames, before all is gone through


def can_seek(container: Any) -> bool:
    """Whether the container's packets say when they are shown, wherever one begins to read."""
    return container.format.name in TELLS_TIMES


def from_keys(container: Any, stream: Any, time_s: float) -> Iterator[tuple[float, Iterator[Any]]]:
    """Key frames that are shown at `time_s` or before, the last one first: when, and the packets.

    A container seeks by times of decoding, which are earlier than those of showing. Few are given;
    after them come all packets, at time −inf.
    """
    target_s = time_s
    for _ in range(SEEKS):
        packets = _sought(container, stream, round(target_s / stream.time_base))
        key = next((p for p in packets if p.is_keyframe and p.pts is not None), None)
        if key is None:
            break
        if (key_s := float(key.pts * stream.time_base)) <= time_s:
            yield key_s, chain([key], packets)
        early = key.pts if key.dts is None else min(key.pts, key.dts)
        target_s = float((early - 1) * stream.time_base)
    yield float("-inf"), _sought(container, stream, -(1 << 62))


def _sought(container: Any, stream: Any, tick: int) -> Iterator[Any]:
    container.seek(tick, stream=stream)
    return iter(container.demux(stream))
