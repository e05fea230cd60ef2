"""The layouts that datasets come in, and how a row of each becomes a clip."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.dataset import span
from pipeline.dataset.clip import MEDIA, SPLITS, Clip
from pipeline.dataset.ids import require_new, safe_id
from pipeline.dataset.mosi_archive import MosiArchive
from pipeline.dataset.tables import TABLES, rows
from pipeline.errors import UserError
from pipeline.messages import listed, quoted

LABELS = "label.csv"
LAYOUT_COLUMNS = ("video_id", "clip_id", "text", "label", "annotation", "mode")
MANIFEST_COLUMNS = ("id", "text", "label", "split")
OF_MODALITY = "label_"  # how the column of a modality's own score begins
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
    """Whether a column holds scores: the clip's own, or a modality's."""
    return column == "label" or (column.startswith(OF_MODALITY) and column != OF_MODALITY)


@lru_cache(maxsize=1)
def _of_modalities(columns: tuple[str, ...]) -> list[str]:
    return [column for column in columns if is_label(column) and column != "label"]


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
        columns = LAYOUT_COLUMNS if in_layout else MANIFEST_COLUMNS
        if missing := [column for column in columns if column not in row]:
            has = listed([quoted(column)[1:-1] for column in list(row)[: NAMED + 1]], NAMED)
            raise UserError(f"{where}: no column {', '.join(missing)}; has {has}")
        if any("\0" in row.get(part, "") for part in MEDIA):
            raise UserError(f"{where}: a path holds a NUL character")
        split = row["mode" if in_layout else "split"]
        if split not in self.splits:
            raise UserError(f"{where}: unknown split {quoted(split)}; one of {', '.join(SPLITS)}")
        id = f"{row['video_id']}/{row['clip_id']}" if in_layout else row["id"]
        scores = {
            name.removeprefix(OF_MODALITY): _score(where, name, row[name])
            for name in _of_modalities(tuple(row))
        }
        return Clip(
            id=safe_id(where, id, parts=2 if in_layout else None),
            text=row["text"],
            label=_score(where, "label", row["label"]),
            labels={k: v for k, v in scores.items() if v is not None},
            annotation=row.get("annotation", ""),
            split=split,
            **(self._in_layout(row) if in_layout else self._named(where, row)),
        )

    def _in_layout(self, row: Mapping[str, str]) -> dict[str, str]:
        if self.archive:
            return self.archive.media(row["video_id"], row["clip_id"])
        raw = self.root / "Raw"
        # Transcripts without any media are a dataset too; one file that is gone is a fault.
        path = raw / row["video_id"] / f"{row['clip_id']}.mp4"
        return {"video": str(path)} if raw.is_dir() else {}

    def _named(self, where: str, row: Mapping[str, str]) -> dict[str, Any]:
        media = {part: str(self.root / row[part]) for part in MEDIA if row.get(part)}
        return {**media, **span.named(where, row)}


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
