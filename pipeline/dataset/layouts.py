"""The layouts that datasets come in, and how a row of each becomes a clip."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.dataset import region, span
from pipeline.dataset.adapter import Adapter, adapter_at
from pipeline.dataset.adapters.cmu_mosi import CmuMosi
from pipeline.dataset.clip import CLASS, LABEL, MEDIA, SCORE, SPLITS, Clip
from pipeline.dataset.ids import require_new, safe_id
from pipeline.dataset.tables import TABLES, rows
from pipeline.errors import UserError
from pipeline.messages import UNPRINTABLE, listed, quoted

LABELS = "label.csv"
LAYOUT_COLUMNS = ("video_id", "clip_id", "text", "label", "annotation", "mode")
MANIFEST_COLUMNS = ("id", "text", "label", "split")
NAMED = 20  # columns


def table_of(path: str | Path) -> Path:
    """The file that lists the clips of the dataset at `path`; the archive of one may have none.

    Raises UserError where there is no dataset.
    """
    path = Path(path)
    if path.suffix == ".pkl":
        raise UserError(f"{path}: holds features, not clips; `smp import {path}` makes a cache")
    table = path / LABELS if path.is_dir() else path
    if not table.is_file() and not archive_of(path):
        raise UserError(
            f"{table}: no dataset; give a folder with label.csv and Raw/, one as a public archive "
            "unpacks (docs/datasets.md), or a manifest (.csv, .jsonl) with the columns id, video, "
            "text, label, split"
        )
    return table


def archive_of(path: str | Path, test: str = "") -> Adapter | None:
    """What reads the folder at `path` as the archive of a dataset, if anything does.

    test: another test split than its first. Raises UserError where it has no such.
    """
    found = adapter_at(Path(path)) if Path(path).is_dir() else None
    if test and not found:
        raise UserError(f"{path}: no test split {test!r}; only some public archives have several")
    return found.testing(test) if found and test else found


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


def entries(path: str | Path, test: str = "") -> Iterator[tuple[str, Clip | UserError]]:
    """Every row of a dataset: where it is written, and its clip or what is wrong with the row.

    test: as for `archive_of`. Raises UserError where it can't be read on.
    """
    table = table_of(path)
    has_table, root = table.is_file(), table.parent.absolute()
    archive = archive_of(path, test) if test or not has_table else None
    listed = list(archive.rows() if archive else rows(table))
    # A label.csv in the public CMU-MOSI archive counts, and the archive has the media.
    mosi = CmuMosi.at(root) if has_table and table.name == LABELS else None
    media = mosi if mosi and mosi.has_media else None
    reader = _Reader(root, media, SPLITS if table.name == LABELS and has_table else (*SPLITS, ""))
    first: dict[str, str] = {}
    for where, row in listed:
        try:
            clip = reader.clip(where, row)
            require_new(first, where, clip.id)
            yield where, clip
        except UserError as error:
            yield where, error


@dataclass(frozen=True)
class _Reader:
    """From a row to a clip. root: absolute, since workers may run in other folders."""

    root: Path
    archive: CmuMosi | None
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
            **self._places(where, self._in_layout(row) if in_layout else self._named(row)),
        )

    def _in_layout(self, row: Mapping[str, str]) -> dict[str, str]:
        if self.archive:
            segment = row["video_id"], row["clip_id"]
            return self.archive.media(*segment, self.archive.spans.get(segment, ()))
        raw = self.root / "Raw"
        # Transcripts without any media are a dataset too; one file that is gone is a fault.
        path = raw / row["video_id"] / f"{row['clip_id']}.mp4"
        return {"video": str(path)} if raw.is_dir() else {}

    def _named(self, row: Mapping[str, str]) -> dict[str, str]:
        media = {part: str(self.root / row[part]) for part in MEDIA if row.get(part)}
        cuts = (*span.COLUMNS, region.COLUMN)
        return {**media, **{name: row[name] for name in cuts if row.get(name)}}

    def _places(self, where: str, named: Mapping[str, str]) -> dict[str, Any]:
        """The files, and which part of them the clip is."""
        media = {part: named[part] for part in MEDIA if part in named}
        return {**media, **span.named(where, named), **region.named(where, named)}


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
