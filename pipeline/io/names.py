"""Names that come as data and become a file's or a folder's."""

from __future__ import annotations

LEADS_ELSEWHERE = frozenset("/\\*?[]")  # a path, or a pattern to object storage
MOST_BYTES = 200


def is_safe_name(name: object) -> bool:
    """Whether it can name one file or folder: printable, not hidden, no path and no pattern."""
    return (
        isinstance(name, str)
        and name.isprintable()
        and 0 < len(name.encode()) <= MOST_BYTES
        and name == name.strip()
        and not name.startswith(".")
        and LEADS_ELSEWHERE.isdisjoint(name)
    )
