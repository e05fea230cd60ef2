"""Utterances as a manifest of spans, and the corrections of a person, read back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.dataset import span
from pipeline.dataset.clip import VIDEOS
from pipeline.dataset.ids import require_new, safe_id
from pipeline.dataset.tables import rows
from pipeline.errors import UserError
from pipeline.io.atomic_write import atomic_write
from pipeline.io.csv_text import csv_text
from pipeline.segment.segment import Utterance

COLUMNS = ("id", "file", "start", "end", "text", "label", "split", "voice", "confidence", "speaker")
SPEAKER = COLUMNS[-1]  # which is told only where somebody knows who speaks
KEEP, DROPPED = "keep", {"0", "no", "false"}
SPLIT = "train"  # until a person says otherwise

Row = dict[str, str]


@dataclass(frozen=True)
class Corrections:
    """What a person made of the rows, by id. path: of the CSV that the page saves."""

    path: Path
    rows: Mapping[str, Mapping[str, str]]

    @classmethod
    def beside(cls, manifest: Path) -> Corrections:
        """Those in `NAME.corrections.csv`, none where there is no such file. Raises UserError."""
        path = manifest.with_suffix(".corrections.csv")
        found: dict[str, Mapping[str, str]] = {}
        first: dict[str, str] = {}
        for where, row in rows(path) if path.is_file() else ():
            if None in row or None in row.values() or not row.get("id"):
                raise UserError(f"{where}: expected columns id, keep, start, end, text")
            require_new(first, where, row["id"])
            span.named(where, row)
            found[row["id"]] = row
        return cls(path, found)

    def of(self, row: Row) -> Row:
        """The row as it was corrected."""
        told = self.rows.get(row["id"], {})
        said = {"text": told["text"]} if "text" in told else {}
        return {**row, **{name: told[name] for name in span.COLUMNS if told.get(name)}, **said}

    def drops(self, row: Row) -> bool:
        """Whether the row is taken out."""
        return self.rows.get(row["id"], {}).get(KEEP, "").strip().lower() in DROPPED

    def unknown(self, rows: Sequence[Row]) -> list[str]:
        """Ids of corrections that no row has any more."""
        return sorted(self.rows.keys() - {row["id"] for row in rows})


def rows_of(path: Path, found: Sequence[Utterance], folder: Path) -> Iterator[Row]:
    """A row of each utterance of a file. folder: of the manifest, from which media are named."""
    inside = os.path.relpath(path.absolute(), folder.absolute())
    place = str(path.absolute()) if inside.startswith("..") else inside
    for one in found:
        yield {
            "id": safe_id(str(path), f"{path.stem}/{one.start_s:08.3f}"),
            "file": place,
            "start": f"{one.start_s:.3f}",
            "end": f"{one.end_s:.3f}",
            "text": one.text,
            "label": "",
            "split": SPLIT,
            "voice": f"{one.voice:.3f}",
            "confidence": "" if one.sure is None else f"{one.sure:.3f}",
            **({SPEAKER: one.speaker} if one.speaker else {}),
        }


def write(manifest: Path, rows: Sequence[Row]) -> None:
    """The manifest, in one step."""
    is_seen = [Path(row["file"]).suffix.lower() in VIDEOS for row in rows]
    parts = [part for part, used in (("video", any(is_seen)), ("audio", not all(is_seen))) if used]
    known = [name for name in COLUMNS if name != SPEAKER or any(SPEAKER in row for row in rows)]
    columns = [c for name in known for c in (parts if name == "file" else [name])]
    placed = [
        {**row, "video" if seen else "audio": row["file"]}
        for row, seen in zip(rows, is_seen, strict=True)
    ]
    text = csv_text(columns, ([row.get(column, "") for column in columns] for row in placed))
    with atomic_write(manifest) as part:
        part.write_text(text, encoding="utf-8")
