"""Where a span begins and ends among what a file holds."""

from __future__ import annotations

from math import inf
from typing import Any

from pipeline.dataset.span import Span
from pipeline.errors import ClipError
from pipeline.media.container import LOST_END_S

CLOCK_S = 0.001  # containers round times to milliseconds; nothing may stumble over that


class BeyondEndError(ClipError):
    """The span ends, or even begins, where its file is over."""


def has_reached(time_s: float, bound_s: float) -> bool:
    """Whether a picture that is shown at `time_s` is at a bound of a span or after it."""
    return time_s >= bound_s - CLOCK_S


def require_end(span: Span, end_s: float, what: str, path: str) -> None:
    """BeyondEndError where `what` is over at `end_s`, long before the span is."""
    needed_s = span.start_s if span.end_s == inf else span.end_s
    if end_s < needed_s - LOST_END_S:
        raise BeyondEndError(f"{what} ends at {end_s:.2f} s, before the clip ({span}): {path}")


def end_s(stream: Any) -> float:
    """When a stream is over by what its container says, 0 where it says nothing."""
    start, lasts = stream.start_time or 0, stream.duration
    if lasts is not None:
        return float((start + lasts) * stream.time_base)
    container = stream.container
    return ((container.start_time or 0) + (container.duration or 0)) / 1_000_000
