"""Which stages a cache has and at which fingerprint: `current.json`, as last extracted."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

from pipeline.errors import DamagedError
from pipeline.io.folder import Folder
from pipeline.io.hashing import sealed, unsealed
from pipeline.io.names import is_safe_name

CURRENT_FILE = "current.json"
IDENTITY: dict[str, type | tuple[type, ...]] = {
    "extractor": str, "version": int, "settings": dict, "needs": dict, "partition": int,
    "steps": (int, NoneType), "upstream": dict, "weights": (str, NoneType),
    "weights_id": (str, NoneType),
}  # fmt: skip


def current(folder: Folder) -> dict[str, dict[str, Any]]:
    """The identity of every stage as last extracted, by name."""
    content, where = folder.read(CURRENT_FILE), f"{folder.url}/{CURRENT_FILE}"
    try:
        return _identities(unsealed(content)) if content is not None else {}
    except ValueError as error:
        raise DamagedError(f"{where} is damaged ({error}); `smp extract` makes it again") from None


def _identities(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Those found; ValueError where one is none, or would lie elsewhere than in its cache."""
    for stage, identity in found.items():
        told = identity if isinstance(identity, dict) else {}
        is_whole = (
            all(map(is_safe_name, (stage, told.get("fingerprint"))))
            and isinstance(told.get("reads"), list)
            and all(isinstance(told[part], kind) for part, kind in IDENTITY.items() if part in told)
            and all(isinstance(other, dict) for other in told.get("upstream", {}).values())
            and all(isinstance(other, str) for other in told.get("needs", {}).values())
        )
        if not is_whole:
            raise ValueError(f"{stage!a:.60} is no stage")
    return found


def last_known(folder: Folder) -> dict[str, dict[str, Any]]:
    """`current`, or nothing where its file is damaged: the next extraction makes it again."""
    try:
        return current(folder)
    except DamagedError:
        return {}


def set_current(folder: Folder, identities: Mapping[str, Mapping[str, Any]]) -> None:
    """Have readers find these stages, and no other."""
    content = sealed(identities, indent=1)
    if folder.read(CURRENT_FILE) != content:
        folder.write(CURRENT_FILE, content)
