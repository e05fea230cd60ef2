"""The cache's own table of clips: their order, which never changes, and what each one is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from pipeline.dataset.clip import MEDIA, Clip
from pipeline.errors import DamagedError
from pipeline.io import hashing
from pipeline.io.file_digests import Seen
from pipeline.io.folder import Folder
from pipeline.messages import printable

FILE = "clips.json"
FORMAT = 1
ABSENT = "absent"


@dataclass(frozen=True)
class Row:
    """A clip with the digests of its parts, `{"video": …, "audio": …, "text": …}`.

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
        content = [f"{part} {self.digests.get(part, ABSENT)}" for part in parts]
        return f"{self.known_as or self.clip.id}@{hashing.of_text(' '.join(content))[:16]}"

    def why_stale(self, parts: Iterable[str]) -> str:
        """Why what was made of these parts stands on files that are gone; empty where none is."""
        return "; ".join(self.stale[part] for part in MEDIA if part in self.stale and part in parts)


@dataclass(frozen=True)
class ClipsTable:
    """A dataset as the cache knows it: rows in the order in which the clips first came.

    imported: the command that made the features from another tool's at `root`; empty where they
    are extracted from clips.
    """

    name: str
    language: str
    root: str
    rows: tuple[Row, ...]
    imported: str = ""

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
            rows = tuple(_row(entry, record["root"]) for entry in record["clips"])
            told = {part: record[part] for part in ("name", "language", "root")}
            return cls(**told, rows=rows, imported=record.get("imported", ""))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            where = f"{folder.url}/{FILE}"
            raise DamagedError(
                f"{where} is damaged ({error}); delete it and extract again"
            ) from None

    def write(self, folder: Folder) -> None:
        """Put the table in place in one step, unless it is what is there."""
        clips = [_entry(row, self.root) for row in self.rows]
        record = {"format": FORMAT, "name": self.name, "language": self.language, "root": self.root}
        imported = {"imported": self.imported} if self.imported else {}
        content = hashing.sealed({**record, **imported, "clips": clips}, indent=1)
        if folder.read(FILE) != content:
            folder.write(FILE, content)

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


def _entry(row: Row, root: str) -> dict[str, Any]:
    entry = asdict(row.clip)
    for part in MEDIA:
        if path := entry[part]:
            path = os.path.abspath(path)
            entry[part] = os.path.relpath(path, root) if _below(path, root) else path
    stamps = {part: list(file.stamp) for part, file in row.files.items() if file.stamp}
    rare = {"known_as": row.known_as, "stamps": stamps, "stale": dict(row.stale)}
    told = {name: value for name, value in rare.items() if value}
    return {**entry, "digests": row.digests, "removed": row.removed, **told}


def _row(entry: dict[str, Any], root: str) -> Row:
    of_clip = {name: entry[name] for name in Clip.__dataclass_fields__}
    for part in MEDIA:
        if path := of_clip[part]:
            of_clip[part] = os.path.join(root, path)
    clip, digests = Clip(**of_clip), dict(entry["digests"])
    files = {
        part: Seen(getattr(clip, part) or "", (size, time_ns), digests.get(part))
        for part, (size, time_ns) in entry.get("stamps", {}).items()
    }
    stale = {part: printable(why) for part, why in entry.get("stale", {}).items()}
    return Row(clip, digests, entry["removed"], entry.get("known_as", ""), files, stale)


def _below(path: str, root: str) -> bool:
    return path.startswith(os.path.join(root, ""))
