"""Interlaced frames made whole: the lines of one moment of two are kept, the others made up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pipeline.media.filters import Chain

Timed = tuple[float, Any]  # when a frame is shown, in seconds, and the frame


def deinterlaced(frames: Iterable[Timed], tell: Callable[[str], None]) -> Iterator[Timed]:
    """One frame a frame, at its time; those not flagged as interlaced stay as they are.

    By bwdif (yadif where FFmpeg lacks it), which looks at the frames before and after. tell: what
    takes the note.
    """
    chain: Chain | None = None
    times: deque[float] = deque()
    kind = None
    for time_s, frame in frames:
        if chain is None and not frame.interlaced_frame:
            yield time_s, frame
            continue
        if kind != (kind := (frame.width, frame.height, frame.format.name)):
            yield from _paired(times, chain.push(None) if chain else ())
            chain = _chain(frame, tell)
        assert chain is not None
        times.append(time_s)
        yield from _paired(times, chain.push(frame))
    yield from _paired(times, chain.push(None) if chain else ())


def _paired(times: deque[float], frames: Iterable[Any]) -> Iterator[Timed]:
    for frame in frames:
        yield times.popleft(), frame


def _chain(frame: Any, tell: Callable[[str], None]) -> Chain:
    from av.filter import filters_available

    name = next(n for n in ("bwdif", "yadif") if n in filters_available)
    tell(f"interlaced, made whole with {name}")
    return Chain([(name, {"mode": "send_frame", "parity": "auto", "deint": "interlaced"})], frame)
