"""The layouts that datasets come in, and how a row of each becomes a clip."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.dataset.clip import CLASS, LABEL, MEDIA, SCORE, SPLITS, Clip
from pipeline.dataset.ids import require_new, safe_id
from pipeline.dataset.mosi_archive import MosiArchive
from pipeline.dataset.tables import TABLES, rows
from pipeline.errors import UserError
from pipeline.messages import UNPRINTABLE, listed, quoted

LABELS = "label.csv"
LAYOUT_COLUMNS = ("video_id", "clip_id", "text", "label", "annotation", "mode")
MANIFEST_COLUMNS = ("id", "text", "label", "split")
NAMED = 20  # columns


def table_of(path: str | Path) -> Path:
    """The file that lists the clips of the dataset at `path`; a CMU-MOSI archive may have none.

    Raises UserError where there is no dataset.
    """
    path = Path(path)
    if path.suffix == ".pkl":
        raise UserError(f"{path}: holds features, not clips; `smp import {path}` makes a cache")
    table = path / LABELS if path.is_dir() else path
    if not table.is_file() and not (path.is_dir() and MosiArchive.at(path)):
        raise UserError(
            f"{table}: no dataset; give a folder with label.csv and Raw/, or a manifest (.csv, "
            ".jsonl) with the columns id, video, text, label, split"
        )
    return table


def is_dataset(path: str | Path) -> bool:
    """Whether there is a dataset at `path`."""
    try:
        return bool(table_of(path))
    except UserError:
        return False


def name_of(path: str | Path) -> str:
    """What a dataset is called in the cache: its folder's name, or its manifest's stem."""
    path = Path(path)
    if path.name == LABELS:
        path = path.parent
    return path.stem if path.suffix in (*TABLES, ".pkl") else path.resolve().name


def is_label(column: str) -> bool:
    """Whether a column holds true values: the clip's score, further scores, or classes."""
    return column == LABEL or bool(_named(column, SCORE) or _named(column, CLASS))


def _named(column: str, prefix: str) -> str:
    """What a column that begins so is called after it."""
    return column.removeprefix(prefix) if column.startswith(prefix) else ""


Named = Sequence[tuple[str, str]]  # names, and the columns that are called after them


@lru_cache(maxsize=1)
def _read(columns: tuple[str, ...]) -> tuple[Named, Named, Sequence[str]]:
    """The scores and the classes of a table with these columns, and the columns that it lacks."""
    scores, classes = (
        [(name, column) for column in columns if (name := _named(column, prefix))]
        for prefix in (SCORE, CLASS)
    )
    present = {*columns, *([LABEL] if scores or classes else [])}
    wanted = LAYOUT_COLUMNS if "video_id" in columns else MANIFEST_COLUMNS
    return scores, classes, [column for column in wanted if column not in present]


def entries(path: str | Path) -> Iterator[tuple[str, Clip | UserError]]:
    """Every row of a dataset: where it is written, and its clip or what is wrong with the row.

    Raises UserError where it can't be read on.
    """
    table = table_of(path)
    archive = MosiArchive.at(table.parent) if table.name == LABELS else None
    has_table = table.is_file()
    listed = list(rows(table) if has_table or archive is None else archive.rows())
    with_media = archive if archive and (archive.has_media or not has_table) else None
    adapter = _Adapter(table.parent.absolute(), with_media, SPLITS if has_table else ("",))
    first: dict[str, str] = {}
    for where, row in listed:
        try:
            clip = adapter.clip(where, row)
            require_new(first, where, clip.id)
            yield where, clip
        except UserError as error:
            yield where, error


@dataclass(frozen=True)
class _Adapter:
    """From a row to a clip. root: absolute, since workers may run in other folders."""

    root: Path
    archive: MosiArchive | None
    splits: Sequence[str]

    def clip(self, where: str, row: Mapping[Any, Any]) -> Clip:
        """Raises UserError for a row that can't be right."""
        if None in row or None in row.values():
            raise UserError(f"{where}: expected {len(row.keys() - {None})} columns")
        in_layout = "video_id" in row
        scores, classes, missing = _read(tuple(row))
        if missing:
            has = listed([quoted(column)[1:-1] for column in list(row)[: NAMED + 1]], NAMED)
            raise UserError(f"{where}: no column {', '.join(missing)}; has {has}")
        if "\0" in row.get("video", "") or "\0" in row.get("audio", ""):
            raise UserError(f"{where}: a path holds a NUL character")
        split = row["mode" if in_layout else "split"]
        if split not in self.splits:
            raise UserError(f"{where}: unknown split {quoted(split)}; one of {', '.join(SPLITS)}")
        id = f"{row['video_id']}/{row['clip_id']}" if in_layout else row["id"]
        values = {name: _score(where, column, row[column]) for name, column in scores}
        names = {name: _class(where, column, row[column]) for name, column in classes}
        return Clip(
            id=safe_id(where, id, parts=2 if in_layout else None),
            text=row["text"],
            label=_score(where, LABEL, row.get(LABEL, "")),
            labels={k: v for k, v in values.items() if v is not None},
            classes={k: v for k, v in names.items() if v},
            annotation=row.get("annotation", ""),
            split=split,
            **(self._in_layout(row) if in_layout else self._named(row)),
        )

    def _in_layout(self, row: Mapping[str, str]) -> dict[str, str]:
        if self.archive:
            return self.archive.media(row["video_id"], row["clip_id"])
        raw = self.root / "Raw"
        # Transcripts without any media are a dataset too; one file that is gone is a fault.
        path = raw / row["video_id"] / f"{row['clip_id']}.mp4"
        return {"video": str(path)} if raw.is_dir() else {}

    def _named(self, row: Mapping[str, str]) -> dict[str, str]:
        return {part: str(self.root / row[part]) for part in MEDIA if row.get(part)}


def _score(where: str, column: str, text: str) -> float | None:
    """None for an empty cell and for NaN: both are how tables say that a score is not known."""
    if not text.strip():
        return None
    try:
        score = math.inf if "_" in text else float(text)  # Python takes 1_0 for 10
    except ValueError:
        score = math.inf
    if math.isinf(score):
        told = f"{quoted(column)[1:-1]} {quoted(text)} is not a number"
        raise UserError(f"{where}: {told}; leave it empty if unknown")
    return None if math.isnan(score) else score


def _class(where: str, column: str, text: str) -> str:
    """The name of a class, "" where it is missing."""
    if UNPRINTABLE.search(text):
        told = f"{quoted(column)[1:-1]} {quoted(text)} holds a character that no report can show"
        raise UserError(f"{where}: {told}")
    return text.strip()
