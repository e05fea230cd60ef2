"""Names of stages: they name folders of a cache, whoever wrote them."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.errors import UserError
from pipeline.io.names import RULE, is_safe_name

RESERVED = frozenset({"clips.json", "current.json", "log.jsonl", "logs"})  # of a cache's own


def require_stage_names(where: str, names: Iterable[object]) -> None:
    """UserError where a name can't be a stage's, or two are one folder on some disks."""
    seen: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str):
            raise UserError(f"{where}: stage {name} is not text; write it in quotes: '{name}'")
        if not is_safe_name(name) or name.casefold() in RESERVED:
            short = name if len(name) <= 64 else f"{name[:64]}…"
            raise UserError(f"{where}: {short!r} can't be a stage's name; use {RULE}")
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise UserError(
                f"{where}: stages {other!r} and {name!r} differ only in case, and would be one "
                "folder on some disks; rename one"
            )
