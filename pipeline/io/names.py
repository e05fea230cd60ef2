"""Names that come as data and become a file's or a folder's: the one rule for them."""

from __future__ import annotations

import re

# Dots stand in names of imported features.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
RULE = "letters, digits, _, - and ., at most 64, the first a letter, a digit or _"


def is_safe_name(name: object) -> bool:
    """Whether it can name one file or folder anywhere: no path, no pattern, not hidden."""
    return isinstance(name, str) and NAME.fullmatch(name) is not None
