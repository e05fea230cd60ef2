"""Rows of the table of clips, kept by column: a row is an object where it is asked for alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import NoneType
from typing import Any, overload

from pipeline.dataset.clip import MEDIA, Clip
from pipeline.io import hashing
from pipeline.io.file_digests import Seen
from pipeline.messages import printable

ABSENT = "absent"
CUTS = ("span", "region")  # what of its media a clip is
OF_CLIP = tuple(part.name for part in fields(Clip))
OF_ROW: dict[str, Any] = {"digests": {}, "removed": False, "known_as": "", "stale": {}}
DEFAULTS = {name: getattr(Clip(""), name) for name in OF_CLIP} | OF_ROW | {"stamps": {}}
# What stands where the default is None; numbers elsewhere.
KINDS = {"video": {str, NoneType}, "audio": {str, NoneType}, "region": {list, NoneType}}
NUMBER = {int, float, NoneType}

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """A clip with the digests of its parts, `{"video": …, "audio": …, "text": …}`.

    Where it is a stretch of its media, or a part of its pictures, `span` or `region` is one of them
    and says which.

    removed: gone from the dataset; its row stays, so that no other clip moves. known_as: the id
    under which it came; it outlives a new name, and so do its results. files: its media as they
    were when the digests were taken. stale: by part, why its file can't be read any more; its
    digest is then the last one that was known, so that what was made of it stands.
    """

    clip: Clip
    digests: dict[str, str] = field(default_factory=dict)
    removed: bool = False
    known_as: str = ""
    files: Mapping[str, Seen] = field(default_factory=dict)
    stale: Mapping[str, str] = field(default_factory=dict)

    def key(self, parts: Iterable[str]) -> str:
        """`id@digest`, the digest over the sorted parts that a stage's result depends on."""
        return key_of(self.known_as or self.clip.id, self.digests, parts)

    def read(self, parts: Iterable[str]) -> list[str]:
        """What of the digests a stage depends on that reads these parts of a clip."""
        return _read(self.digests, parts)

    def why_stale(self, parts: Iterable[str]) -> str:
        """Why what was made of these parts stands on files that are gone; empty where none is."""
        return "; ".join(self.stale[part] for part in MEDIA if part in self.stale and part in parts)


def key_of(id: str, digests: Mapping[str, str], parts: Iterable[str]) -> str:
    """The key of a clip that came under this id."""
    content = " ".join([f"{part} {digests.get(part, ABSENT)}" for part in _read(digests, parts)])
    return f"{id}@{hashing.of_text(content)[:16]}"


def _read(digests: Mapping[str, str], parts: Iterable[str]) -> list[str]:
    parts = list(parts)
    cuts = [] if set(MEDIA).isdisjoint(parts) else [cut for cut in CUTS if cut in digests]
    return [*parts, *cuts]


class StoredRows(Sequence[Row]):
    """The rows that columns hold; paths below `root` are relative to it."""

    def __init__(self, columns: Columns, root: str) -> None:
        """Raises ValueError where they are no columns of one table."""
        if len({*map(len, columns.values()), len(columns["id"])}) > 1:
            raise ValueError("its columns are of different lengths")
        for name, column in columns.items():
            _check(name, column)
        self.columns, self.root = columns, root

    def __len__(self) -> int:
        return len(self.columns["id"])

    @overload
    def __getitem__(self, number: int) -> Row: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Row]: ...
    def __getitem__(self, number: int | slice) -> Row | Sequence[Row]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        return self._row({name: column[number] for name, column in self.columns.items()})

    def __iter__(self) -> Iterator[Row]:
        for row in zip(*self.columns.values(), strict=True):
            yield self._row(dict(zip(self.columns, row, strict=True)))

    def _row(self, entry: dict[str, Any]) -> Row:
        at = {p: os.path.join(self.root, path) for p in MEDIA if (path := entry.get(p))}
        digests, stamps = entry.get("digests", {}), entry.get("stamps", {})
        stamped = {part: tuple(stamp) for part, stamp in stamps.items()}
        files = {
            part: Seen(at.get(part, ""), stamped.get(part), digests.get(part))
            for part in {**at, **stamped}
            if part in stamped or part not in digests
        }
        stale = {part: printable(why) for part, why in entry.get("stale", {}).items()}
        told = {name: entry[name] for name in OF_CLIP if name in entry} | at
        if region := entry.get("region"):
            told["region"] = (region[0], region[1])
        clip = Clip(**told)
        came_as = entry.get("known_as", "")
        return Row(clip, {**digests}, entry.get("removed", False), came_as, files, stale)


def columns_of(rows: Sequence[Row], root: str) -> Columns:
    """What is kept of rows, by column; one that holds nothing is left out."""
    if isinstance(rows, StoredRows) and rows.root == root:
        return rows.columns
    stamps = [{p: [*file.stamp] for p, file in row.files.items() if file.stamp} for row in rows]
    kept = {name: [getattr(row, name) for row in rows] for name in OF_ROW}
    clips = clip_columns([row.clip for row in rows], root)
    return {**clips, **telling({**kept, "stamps": stamps})}


def clip_columns(clips: Sequence[Clip], root: str) -> Columns:
    """The columns of the clips themselves."""
    columns = {name: [getattr(clip, name) for clip in clips] for name in OF_CLIP}
    below = os.path.join(root, "")
    for part in MEDIA:
        columns[part] = [path and _kept(path, root, below) for path in columns[part]]
    columns["region"] = [region and [*region] for region in columns["region"]]
    return {"id": columns.pop("id"), **telling(columns)}


def telling(columns: Columns) -> Columns:
    """Those with more than defaults."""
    return {
        name: column
        for name, column in columns.items()
        if column.count(DEFAULTS[name]) < len(column)
    }


def _kept(path: str, root: str, below: str) -> str:
    path = os.path.abspath(path)
    return os.path.relpath(path, root) if path.startswith(below) else path


def _check(name: str, column: Sequence[Any]) -> None:
    """Raise ValueError where a column holds what can't stand in it."""
    default, is_one = DEFAULTS[name], IN_MAPPINGS.get(name)
    kinds = {type(default)} if default is not None else KINDS.get(name, NUMBER)
    if (
        not kinds.issuperset(map(type, column))
        or (is_one and not all(is_one(value) for entry in column for value in entry.values()))
        or (name == "region" and not all(len(pair) == 2 for pair in column if pair is not None))
    ):
        raise ValueError(f"its column {name} holds something else")


def _is_stamp(value: Any) -> bool:
    return isinstance(value, list) and [*map(type, value)] == [int, int]


IN_MAPPINGS = {"stamps": _is_stamp, "stale": lambda value: isinstance(value, str)}
