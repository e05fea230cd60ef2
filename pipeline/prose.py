"""Counts and lists as they stand in a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence

OWN = re.compile(r"\S*[/\\]\S*|\d+(\.\d+)?")  # paths, ids and numbers


def counted(number: int, noun: str) -> str:
    """`1 clip`, `2 clips`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[object], most: int) -> str:
    """`a, b, c and 2 more`, of which `most` are named."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def folded(message: str) -> str:
    """The message without its paths and numbers: the same for all that say the same."""
    return OWN.sub("…", message)
