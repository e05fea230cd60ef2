"""A stretch of a longer file, and how a table names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

from pipeline.errors import UserError
from pipeline.messages import quoted

COLUMNS = ("start", "end")  # of a manifest, in seconds


@dataclass(frozen=True, slots=True)
class Span:
    """What begins at `start_s` or later and before `end_s`, on the clock of its file.

    The clock's zero is the first picture shown, or the first sample where there is no picture.
    Half open: of spans side by side, each picture and each sample is in one. A picture is in that
    in which it begins to be shown.
    """

    start_s: float = 0.0
    end_s: float = inf

    def __str__(self) -> str:
        """For people, and for what tells results apart: `1.5 s to 4 s`."""
        end = "the end" if self.end_s == inf else f"{self.end_s!r} s"
        return f"{self.start_s!r} s to {end}"


WHOLE = Span()


def named(where: str, row: Mapping[Any, Any]) -> dict[str, float]:
    """The `start_s` and `end_s` that a row gives. Raises UserError for what is no span.

    where: the row's place, for the message. Empty cells are the file's own start and end.
    """
    start_s, end_s = (_seconds(where, column, row.get(column, "")) for column in COLUMNS)
    if end_s is not None and end_s <= (start_s or 0.0):
        raise UserError(f"{where}: end {end_s:g} s is not after start {start_s or 0:g} s")
    told = {"start_s": start_s, "end_s": end_s}
    return {name: seconds for name, seconds in told.items() if seconds is not None}


def _seconds(where: str, column: str, text: str) -> float | None:
    if not text.strip():
        return None
    try:
        seconds = inf if "_" in text else float(text)  # Python takes 1_0 for 10
    except ValueError:
        seconds = inf
    if not isfinite(seconds) or seconds < 0:
        told = f"{column} {quoted(text)} is not a number of seconds, 0 or more"
        raise UserError(f"{where}: {told}; leave it empty for the file's own {column}")
    return seconds
