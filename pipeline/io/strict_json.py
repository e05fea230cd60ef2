"""JSON from elsewhere: what has two readings is refused, and no depth ends the process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.messages import quoted


def loads(text: str | bytes) -> Any:
    """As `json.loads`. Raises ValueError for a key that appears twice and for absurd depth too."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"the key {quoted(repeated(key for key, _ in pairs) or '')} appears twice")
    return found


def repeated(names: Iterable[str]) -> str | None:
    """The first name that there is more than once, None where all differ."""
    return next((name for name, times in Counter(names).items() if times > 1), None)
