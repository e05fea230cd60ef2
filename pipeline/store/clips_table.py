"""The cache's own table of clips: their order, which never changes, and what each one is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from pipeline.dataset.clip import MEDIA, Clip
from pipeline.dataset.target import Target, all_targets
from pipeline.errors import DamagedError
from pipeline.io import hashing
from pipeline.io.file_digests import Seen
from pipeline.io.folder import Folder
from pipeline.messages import printable

FILE = "clips.json"
FORMAT = 2  # by column; 1 had an entry for each clip, under `clips`
ABSENT = "absent"
CUTS = ("span", "region")  # what of its media a clip is
NONE: Mapping[str, Any] = {}
DEFAULTS: Mapping[str, Any] = {
    "video": None, "audio": None, "text": "", "label": None, "labels": {}, "annotation": "",
    "split": "train", "classes": {}, "start_s": None, "end_s": None, "region": None, "digests": {},
    "removed": False, "known_as": "", "stamps": {}, "stale": {},
}  # fmt: skip


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
    files: Mapping[str, Seen] = field(default_factory=dict, compare=False)
    stale: Mapping[str, str] = field(default_factory=dict)

    def key(self, parts: Iterable[str]) -> str:
        """`id@digest`, the digest over the sorted parts that a stage's result depends on."""
        content = [f"{part} {self.digests.get(part, ABSENT)}" for part in self.read(parts)]
        return f"{self.known_as or self.clip.id}@{hashing.of_text(' '.join(content))[:16]}"

    def read(self, parts: Iterable[str]) -> list[str]:
        """What of the digests a stage depends on that reads these parts of a clip."""
        parts = list(parts)
        cuts = [] if set(MEDIA).isdisjoint(parts) else [c for c in CUTS if c in self.digests]
        return [*parts, *cuts]

    def why_stale(self, parts: Iterable[str]) -> str:
        """Why what was made of these parts stands on files that are gone; empty where none is."""
        return "; ".join(self.stale[part] for part in MEDIA if part in self.stale and part in parts)


@dataclass(frozen=True)
class ClipsTable:
    """A dataset as the cache knows it: rows in the order in which the clips first came.

    imported: the command that made the features from another tool's at `root`; empty where they
    are extracted from clips. declared: the targets that the dataset says it has.
    """

    name: str
    language: str
    root: str
    rows: tuple[Row, ...]
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
            rows = tuple(_row(record["root"], **entry) for entry in _entries(record))
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
        entries = [_entry(row, self.root) for row in self.rows]
        columns = {"id": [entry["id"] for entry in entries]}
        for name, default in DEFAULTS.items():
            column = [entry[name] for entry in entries]
            if any(value != default for value in column):
                columns[name] = column
        record = {"format": FORMAT, "name": self.name, "language": self.language, "root": self.root}
        imported = {"imported": self.imported} if self.imported else {}
        targets = [target.to_json() for target in self.declared]
        declared = {"targets": targets} if targets else {}
        content = hashing.sealed({**record, **imported, **declared, "columns": columns})
        if folder.read(FILE) != content:
            folder.write(FILE, content)

    def is_as(self, other: ClipsTable) -> bool:
        """Whether nothing tells the tables apart, the looks of the files included."""
        pairs = zip(self.rows, other.rows, strict=False)
        return self == other and all(row.files == its.files for row, its in pairs)

    def keys(self, parts: Iterable[str]) -> list[str]:
        """The key of every row over `parts`; stages that read the same parts share the work."""
        parts = tuple(parts)
        if parts not in self._keys:
            self._keys[parts] = [row.key(parts) for row in self.rows]
        return self._keys[parts]

    @cached_property
    def _keys(self) -> dict[tuple[str, ...], list[str]]:
        return {}

    @property
    def present(self) -> list[int]:
        """The row numbers of the clips that the dataset still has."""
        return [number for number, row in enumerate(self.rows) if not row.removed]

    @property
    def targets(self) -> tuple[Target, ...]:
        """What can be predicted of the clips that the dataset still has."""
        return all_targets(self.declared, (self.rows[number].clip for number in self.present))


def _entry(row: Row, root: str) -> dict[str, Any]:
    """What is kept of a row, by column; paths below `root` are relative to it."""
    clip, below = row.clip, os.path.join(root, "")
    video, audio = (path and _kept(path, root, below) for path in (clip.video, clip.audio))
    return {
        "id": clip.id,
        "video": video,
        "audio": audio,
        "text": clip.text,
        "label": clip.label,
        "labels": clip.labels,
        "annotation": clip.annotation,
        "split": clip.split,
        "classes": clip.classes,
        "start_s": clip.start_s,
        "end_s": clip.end_s,
        "region": clip.region,
        "digests": row.digests,
        "removed": row.removed,
        "known_as": row.known_as,
        "stamps": {part: file.stamp for part, file in row.files.items() if file.stamp},
        "stale": row.stale,
    }


def _kept(path: str, root: str, below: str) -> str:
    path = os.path.abspath(path)
    return os.path.relpath(path, root) if path.startswith(below) else path


def _entries(record: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    if "clips" in record:
        return cast(list[Mapping[str, Any]], record["clips"])
    columns = record["columns"]
    return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def _row(
    root: str,
    id: str,
    text: str = "",
    label: float | None = None,
    labels: Mapping[str, float] = NONE,
    annotation: str = "",
    split: str = "train",
    classes: Mapping[str, str] = NONE,
    start_s: float | None = None,
    end_s: float | None = None,
    region: Sequence[float] | None = None,
    digests: Mapping[str, str] = NONE,
    removed: bool = False,
    known_as: str = "",
    stamps: Mapping[str, tuple[int, int]] = NONE,
    stale: Mapping[str, str] = NONE,
    **media: str | None,
) -> Row:
    at = {part: os.path.join(root, path) for part, path in media.items() if path}
    seen = (region[0], region[1]) if region else None
    of_table = text, label, labels, annotation, split, classes, start_s, end_s, seen
    clip = Clip(id, at.get("video"), at.get("audio"), *of_table)
    files = {
        part: Seen(at.get(part, ""), (size, time_ns), digests.get(part))
        for part, (size, time_ns) in stamps.items()
    }
    why = {part: printable(reason) for part, reason in stale.items()}
    return Row(clip, {**digests}, removed, known_as, files, why)
