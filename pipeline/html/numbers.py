"""Numbers as people read them."""

from __future__ import annotations

from math import isfinite

NOTHING = "–"


def grouped(number: float) -> str:
    """A count with its thousands apart: 12,345."""
    return f"{number:,.0f}"


def plain(number: float | None, digits: int = 2) -> str:
    """A measure with so many decimals, a true minus sign, and a dash where there is none."""
    if number is None or not isfinite(number):
        return NOTHING
    text = f"{number:,.{digits}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("-")
