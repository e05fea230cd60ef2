"""The cache's own table of clips: their order, which never changes, and what each one is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.dataset.target import Target, all_targets
from pipeline.errors import DamagedError
from pipeline.io import hashing
from pipeline.io.folder import Folder
from pipeline.store.clip_rows import DEFAULTS, Columns, Row, StoredRows, columns_of, key_of, telling

FILE = "clips.json"
FORMAT = 2  # by column; 1 had an entry for each clip, under `clips`


@dataclass(frozen=True, eq=False)
class ClipsTable:
    """A dataset as the cache knows it: rows in the order in which the clips first came.

    imported: the command that made the features from another tool's at `root`; empty where they
    are extracted from clips. declared: the targets that the dataset says it has.
    """

    name: str
    language: str
    root: str
    rows: Sequence[Row]
    imported: str = ""
    declared: tuple[Target, ...] = ()

    @property
    def command(self) -> str:
        """What makes the features, and makes them again where they are lost."""
        return self.imported or "smp extract"

    @classmethod
    def read(cls, folder: Folder) -> ClipsTable | None:
        """The table of the cache in `folder`, None where there is none yet."""
        content = folder.read(FILE)
        if content is None:
            return None
        try:
            record = hashing.unsealed(content)
            rows = StoredRows(_columns(record), record["root"])
            told = {part: record[part] for part in ("name", "language", "root")}
            declared = tuple(Target(**target) for target in record.get("targets", ()))
            return cls(**told, rows=rows, imported=record.get("imported", ""), declared=declared)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            where = f"{folder.url}/{FILE}"
            raise DamagedError(
                f"{where} is damaged ({error}); delete it and extract again"
            ) from None

    def write(self, folder: Folder) -> None:
        """Put the table in place in one step, unless it is what is there."""
        content = hashing.sealed(self._record)
        if folder.read(FILE) != content:
            folder.write(FILE, content)

    @property
    def _record(self) -> dict[str, Any]:
        record = {"format": FORMAT, "name": self.name, "language": self.language, "root": self.root}
        imported = {"imported": self.imported} if self.imported else {}
        targets = [target.to_json() for target in self.declared]
        declared = {"targets": targets} if targets else {}
        return {**record, **imported, **declared, "columns": self.columns}

    def __eq__(self, other: object) -> bool:
        """Whether nothing tells the tables apart, the looks of the files included."""
        return isinstance(other, ClipsTable) and self._record == other._record

    @cached_property
    def columns(self) -> Columns:
        """What is kept of the rows, by column; one that holds nothing is left out."""
        return columns_of(self.rows, self.root)

    def column(self, name: str) -> Sequence[Any]:
        """One value a row."""
        return self.columns.get(name) or [DEFAULTS[name]] * len(self.rows)

    @property
    def ids(self) -> Sequence[str]:
        """The id of every row's clip."""
        return self.column("id")

    def keys(self, parts: Iterable[str]) -> list[str]:
        """The key of every row over `parts`; stages that read the same parts share the work."""
        parts = tuple(parts)
        if parts not in self._keys:
            came_as = zip(self.column("known_as"), self.ids, self.column("digests"), strict=True)
            self._keys[parts] = [key_of(old or id, own, parts) for old, id, own in came_as]
        return self._keys[parts]

    @cached_property
    def _keys(self) -> dict[tuple[str, ...], list[str]]:
        return {}

    def why_stale(self, parts: Iterable[str]) -> Mapping[int, str]:
        """By row number, why what was made of these parts stands on files that are gone."""
        stale = [number for number, one in enumerate(self.columns.get("stale", ())) if one]
        told = {number: self.rows[number].why_stale(parts) for number in stale}
        return {number: why for number, why in told.items() if why}

    @cached_property
    def present(self) -> Sequence[int]:
        """The row numbers of the clips that the dataset still has."""
        return [number for number, removed in enumerate(self.column("removed")) if not removed]

    @property
    def targets(self) -> tuple[Target, ...]:
        """What can be predicted of the clips that the dataset still has."""
        return all_targets(self.declared, (self.rows[number].clip for number in self.present))


def _columns(record: Mapping[str, Any]) -> Columns:
    if "clips" not in record:
        return record["columns"]
    rows = record["clips"]
    return telling(
        {name: [row.get(name, default) for row in rows] for name, default in DEFAULTS.items()}
    )
