"""Which part of the picture a clip is, where people share one, and how a table names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import UserError
from pipeline.messages import quoted

Region = tuple[float, float]  # from where to where, as shares of the width, counted from the left
COLUMN = "region"  # of a manifest
HALVES: Mapping[str, Region] = {"left": (0.0, 0.5), "right": (0.5, 1.0)}


def named(where: str, row: Mapping[Any, Any]) -> dict[str, Region]:
    """The `region` that a row gives: `left`, `right`, or two shares of the width as `0.25,0.75`.

    where: the row's place, for the message. An empty cell is the whole picture. Raises UserError
    for what is no part of it.
    """
    text = row.get(COLUMN, "").strip()
    if not text:
        return {}
    try:
        begin, end = HALVES.get(text) or map(float, text.split(","))
        if not 0 <= begin < end <= 1:
            raise ValueError
    except ValueError as error:
        wanted = "left, right, or where it begins and ends as shares of the width: 0.25,0.75"
        raise UserError(f"{where}: region {quoted(text)} is none; write {wanted}") from error
    return {COLUMN: (begin, end)}


def told(region: Region | None) -> str:
    """As a table says it; empty for the whole picture."""
    halves = {half: name for name, half in HALVES.items()}
    return halves.get(region, f"{region[0]!r},{region[1]!r}") if region else ""


def columns(region: Region, width: int) -> slice:
    """The columns of pictures of that width, one at least."""
    begin = min(round(region[0] * width), width - 1)
    return slice(begin, max(round(region[1] * width), begin + 1))
