"""The public digests of files of py-feat's from which Python objects are rebuilt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Pin:
    """A file's SHA-256 and the two places, independent of each other, that both state it."""

    sha256: str
    sources: tuple[str, str]


# By the file's name. None has been found in two places yet: docs/stages.md says what was found.
PINS: Mapping[str, Pin] = {}


def trusted(file: str, named: str | None, pins: Mapping[str, Pin] = PINS) -> str | None:
    """The digest that a file must have: the one that the user named, else its pin's, if any."""
    if named is not None:
        return named
    pin = pins.get(file)
    return pin.sha256 if pin else None
