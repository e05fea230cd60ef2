"""Ids of clips: they tell clips apart, and name files."""

from __future__ import annotations

from pipeline.errors import UserError
from pipeline.messages import UNPRINTABLE, quoted


class DuplicateIdError(UserError):
    """Two clips have one id."""


def require_new(first: dict[str, str], where: str, id: str) -> None:
    """Raise DuplicateIdError where `id` is in `first`: the ids so far, and where each was used."""
    if id in first:
        raise DuplicateIdError(f"{where}: id {quoted(id)} already appears at {first[id]}")
    first[id] = where


def safe_id(where: str, id: str, parts: int | None = None) -> str:
    """The id, if a file can be named by it: none may point out of a folder.

    parts: how many it must have between slashes. Raises UserError.
    """
    names = id.split("/")
    escapes = "\\" in id or "\0" in id or not {"..", "."}.isdisjoint(names)
    if escapes or not all(names) or (parts and len(names) != parts):
        raise UserError(f"{where}: id {quoted(id)} is empty or leaves the dataset's folder")
    if UNPRINTABLE.search(id):
        raise UserError(f"{where}: id {quoted(id)} holds a character that no report can show")
    return id
