"""Counts and lists as they stand in a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence

PATH_AT_END = re.compile(
    r": (?:\w+://|/)[^;:]*(?=$|;)"
)  # as errors name their file; it may hold spaces
PATH = re.compile(r"(?:\w+://|(?<![\w.])/)[^\s;,'\"]+[^\s;,'\":)]")
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def counted(number: int, noun: str) -> str:
    """`1 clip`, `2 clips`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[object], most: int) -> str:
    """`a, b, c and 2 more`, of which `most` are named."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def folded(message: str, clip: str = "") -> str:
    """The message without a clip's id, paths and numbers: the same for all that say the same."""
    plain = PATH.sub("…", PATH_AT_END.sub("", message))
    plain = re.sub(rf"(?<![\w/]){re.escape(clip)}(?![\w/])", "…", plain) if clip else plain
    return NUMBER.sub("N", plain)
