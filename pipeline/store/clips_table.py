"""The cache's own table of clips: their order, which never changes, and what each one is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from pipeline.dataset.clip import Clip
from pipeline.dataset.load import Dataset
from pipeline.errors import DamagedError, UserError
from pipeline.io import hashing
from pipeline.io.file_digests import FileDigests, Seen
from pipeline.io.folder import Folder

FILE = "clips.json"
FORMAT = 1
ABSENT = "absent"


@dataclass(frozen=True)
class Row:
    """A clip with the digests of its parts, `{"video": …, "audio": …, "text": …}`.

    removed: gone from the dataset; its row stays, so that no other clip moves. known_as: the id
    under which it came; it outlives a new name, and so do its results. files: its media as they
    were when the digests were taken, in the process that took them.
    """

    clip: Clip
    digests: dict[str, str] = field(default_factory=dict)
    removed: bool = False
    known_as: str = ""
    files: Mapping[str, Seen] = field(default_factory=dict, compare=False)

    def key(self, parts: Iterable[str]) -> str:
        """`id@digest`, the digest over the sorted parts that a stage's result depends on."""
        content = [f"{part} {self.digests.get(part, ABSENT)}" for part in parts]
        return f"{self.known_as or self.clip.id}@{hashing.of_text(' '.join(content))[:16]}"


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
        except (ValueError, KeyError, TypeError) as error:
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


def merged(known: ClipsTable | None, dataset: Dataset, name: str | None = None) -> ClipsTable:
    """The known table brought up to date: known clips keep their rows, new ones are appended.

    A new clip with the content of one that is gone is that clip under another name, and takes its
    row. name: what the cache calls the dataset, where that is not the dataset's own name.

    Raises UserError where no id is known, nor half of the contents: another dataset of that name.
    """
    if known and known.imported:
        raise UserError(
            f"the cache of {known.name!r} was imported from {known.root}; give {dataset.root} "
            "another name with --name, or another --cache"
        )
    old = known.rows if known else ()
    known_ids = {row.clip.id for row in old}
    fresh = {row.clip.id: row for row in _digested(dataset.clips)}
    kept = [_brought_up(row, fresh.get(row.clip.id)) for row in old]
    added = [row for id, row in fresh.items() if id not in known_ids]
    rows = _renamed(kept, added)
    renamed = len(fresh) - (len(rows) - len(old))
    is_other = known_ids.isdisjoint(fresh) and 2 * renamed < len(fresh)
    if dataset.is_open:
        is_other = known is not None and known.root != str(dataset.root)
    if known and old and is_other:
        raise UserError(
            f"the cache of {known.name!r} holds another dataset ({known.root}): no clip is in "
            f"both; give {dataset.root} another name with --name, or another --cache"
        )
    language = known.language if known else dataset.language
    return ClipsTable(name or dataset.name, language, str(dataset.root), tuple(rows))


def _brought_up(row: Row, fresh: Row | None) -> Row:
    return replace(fresh, known_as=row.known_as) if fresh else replace(row, removed=True)


def _renamed(kept: list[Row], added: list[Row]) -> list[Row]:
    """All rows, each added one in the place of a removed one of the same content, if any."""
    gone: dict[str, list[int]] = {}
    for number, row in enumerate(kept):
        if row.removed:
            gone.setdefault(hashing.of_json(row.digests), []).append(number)
    rows = list(kept)
    for row in added:
        places = gone.get(hashing.of_json(row.digests)) if gone else None
        if places:
            place = places.pop(0)
            rows[place] = replace(row, known_as=kept[place].known_as or kept[place].clip.id)
        else:
            rows.append(row)
    return rows


def _digested(clips: Sequence[Clip]) -> list[Row]:
    def digested(clip: Clip) -> Row:
        media = {"video": clip.video, "audio": clip.audio}
        files = {part: digests.see(path) for part, path in media.items() if path}
        found = {part: file.digest for part, file in files.items() if file.digest}
        return Row(clip, {**found, "text": hashing.of_text(clip.text)}, files=files)

    with FileDigests() as digests, ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(digested, clips))


def _entry(row: Row, root: str) -> dict[str, Any]:
    entry = asdict(row.clip)
    for part in ("video", "audio"):
        if path := entry[part]:
            path = os.path.abspath(path)
            entry[part] = os.path.relpath(path, root) if _below(path, root) else path
    known_as = {"known_as": row.known_as} if row.known_as else {}
    return {**entry, "digests": row.digests, "removed": row.removed, **known_as}


def _row(entry: dict[str, Any], root: str) -> Row:
    fields = {k: v for k, v in entry.items() if k not in ("digests", "removed", "known_as")}
    for part in ("video", "audio"):
        if path := fields[part]:
            fields[part] = os.path.join(root, path)
    return Row(Clip(**fields), entry["digests"], entry["removed"], entry.get("known_as", ""))


def _below(path: str, root: str) -> bool:
    return path.startswith(os.path.join(root, ""))
