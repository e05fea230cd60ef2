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


def short(number: float) -> str:
    """A tick of an axis, in few characters: 0.25, 1,200, 3e6."""
    if number and not 1e-3 <= abs(number) < 1e6:
        mantissa, exponent = f"{number:.2g}".split("e") if "e" in f"{number:.2g}" else ("", "")
        return f"{mantissa}e{int(exponent)}".replace("-", "−") if mantissa else f"{number:.2g}"
    return f"{number:,.4g}".replace("-", "−") if abs(number) < 1000 else f"{number:,.0f}"
