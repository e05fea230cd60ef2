"""The cache's own table of clips: their order, which never changes, and what each one is."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipeline import digest
from pipeline.clip import Clip
from pipeline.dataset import Dataset
from pipeline.errors import DamagedError, UserError
from pipeline.files import Folder

FILE = "clips.json"
FORMAT = 1
ABSENT = "absent"


@dataclass(frozen=True)
class Row:
    """A clip with the digests of its parts, `{"video": …, "audio": …, "text": …}`.

    removed: gone from the dataset; its row stays, so that no other clip moves.
    """

    clip: Clip
    digests: dict[str, str] = field(default_factory=dict)
    removed: bool = False

    def key(self, parts: Iterable[str]) -> str:
        """`id@digest`, the digest over the parts that a stage's result depends on."""
        content = {part: self.digests.get(part, ABSENT) for part in parts}
        return f"{self.clip.id}@{digest.of_json(content)[:16]}"


@dataclass(frozen=True)
class ClipsTable:
    """A dataset as the cache knows it: rows in the order in which the clips first came."""

    name: str
    language: str
    root: str
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, folder: Folder) -> ClipsTable | None:
        """The table of the cache in `folder`, None where there is none yet."""
        content = folder.read(FILE)
        if content is None:
            return None
        try:
            record = digest.unsealed(content)
            rows = tuple(_row(entry, record["root"]) for entry in record["clips"])
            return cls(record["name"], record["language"], record["root"], rows)
        except (ValueError, KeyError, TypeError) as error:
            where = f"{folder.url}/{FILE}"
            raise DamagedError(
                f"{where} is damaged ({error}); delete it and extract again"
            ) from None

    def write(self, folder: Folder) -> None:
        """Put the table in place in one step, unless it is what is there."""
        clips = [_entry(row, self.root) for row in self.rows]
        record = {"format": FORMAT, "name": self.name, "language": self.language, "root": self.root}
        content = digest.sealed({**record, "clips": clips}, indent=1)
        if folder.read(FILE) != content:
            folder.write(FILE, content)

    @property
    def present(self) -> list[int]:
        """The row numbers of the clips that the dataset still has."""
        return [number for number, row in enumerate(self.rows) if not row.removed]


def merged(known: ClipsTable | None, dataset: Dataset, name: str | None = None) -> ClipsTable:
    """The known table brought up to date: known clips keep their rows, new ones are appended.

    name: what the cache calls the dataset, where that is not the dataset's own name.

    Raises UserError where not one clip is known: another dataset of the same name.
    """
    fresh = {clip.id: clip for clip in dataset.clips}
    old = known.rows if known else ()
    if known and old and not any(row.clip.id in fresh for row in old):
        raise UserError(
            f"the cache of {known.name!r} holds another dataset ({known.root}): no clip is in "
            f"both; give {dataset.root} another name with --name, or another --cache"
        )
    rows = [replace(row, removed=row.clip.id not in fresh) for row in old]
    rows = [replace(r, clip=fresh.get(r.clip.id, r.clip)) for r in rows]
    seen = {row.clip.id for row in old}
    rows += [Row(clip) for clip in dataset.clips if clip.id not in seen]
    language = known.language if known else dataset.language
    return ClipsTable(name or dataset.name, language, str(dataset.root), tuple(_with_digests(rows)))


def _with_digests(rows: list[Row]) -> list[Row]:
    files = digest.FileDigests()

    def digested(row: Row) -> Row:
        if row.removed:
            return row
        media = {"video": row.clip.video, "audio": row.clip.audio}
        found = {part: files.of(path) for part, path in media.items() if path and _is_file(path)}
        return replace(row, digests={**found, "text": digest.of_text(row.clip.text)})

    with ThreadPoolExecutor(max_workers=8) as pool:
        done = list(pool.map(digested, rows))
    files.save()
    return done


def _is_file(path: str) -> bool:
    return os.path.isfile(path)


def _entry(row: Row, root: str) -> dict[str, Any]:
    entry = asdict(row.clip)
    for part in ("video", "audio"):
        if path := entry[part]:
            entry[part] = os.path.relpath(path, root) if _below(path, root) else path
    return {**entry, "digests": row.digests, "removed": row.removed}


def _row(entry: dict[str, Any], root: str) -> Row:
    fields = {k: v for k, v in entry.items() if k not in ("digests", "removed")}
    for part in ("video", "audio"):
        if path := fields[part]:
            fields[part] = os.path.join(root, path)
    return Row(Clip(**fields), entry["digests"], entry["removed"])


def _below(path: str, root: str) -> bool:
    return os.path.abspath(path).startswith(os.path.join(root, ""))
