"""Adapters: from the layouts that datasets come in to an ordered table of clips."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.dataset.clip import SPLITS, Clip
from pipeline.dataset.language import language_of
from pipeline.dataset.mosi_archive import MosiArchive
from pipeline.errors import UserError
from pipeline.messages import UNPRINTABLE
from pipeline.system.process import allow_long_csv_fields

LAYOUT_COLUMNS = ("video_id", "clip_id", "text", "label", "annotation", "mode")
LABELS = "label.csv"
MANIFEST_COLUMNS = ("id", "text", "label", "split")


@dataclass(frozen=True)
class Dataset:
    """A dataset's name, its folder and its clips in the order of its table.

    is_open: clips come and go at will, so that a cache of it may hold none of today's.
    """

    name: str
    root: Path
    clips: tuple[Clip, ...]
    is_open: bool = False

    @property
    def language(self) -> str:
        """`zh` where most of the transcripts hold Han characters, else `en`."""
        texts = [clip.text for clip in self.clips if clip.text.strip()]
        return language_of(texts)


def load(path: str | Path) -> Dataset:
    """The dataset at `path`: a folder with `label.csv`, or a manifest (`.csv`, `.jsonl`).

    The folder's layout is the one that MMSA tools share for CMU-MOSI and CH-SIMS: `label.csv` with
    `video_id, clip_id, text, label, annotation, mode` (`label_T, label_A, label_V` for CH-SIMS)
    beside `Raw/<video_id>/<clip_id>.mp4`; or it is the public CMU-MOSI archive, with or without a
    `label.csv`. A manifest has `id, video, audio, text, label, split`, paths relative to it;
    `video`, `audio` and every `label_…` are optional.

    Raises UserError with file and line for what can't be right.
    """
    table = table_of(path)
    clips: list[Clip] = []
    first: dict[str, str] = {}
    for where, clip in entries(path):
        if isinstance(clip, UserError):
            raise clip
        if clip.id in first:
            raise UserError(f"{where}: id {clip.id!r} is there already, at {first[clip.id]}")
        first[clip.id] = where
        clips.append(clip)
    if not clips:
        raise UserError(f"{table}: holds no clips")
    return Dataset(name_of(path), Path(os.path.abspath(table.parent)), tuple(clips))


def entries(path: str | Path) -> Iterator[tuple[str, Clip | UserError]]:
    """Every row of a dataset: where it is written, and its clip or what is wrong with the row.

    Raises UserError where it can't be read on.
    """
    table = table_of(path)
    archive = MosiArchive.at(table.parent) if table.name == LABELS else None
    if archive and not table.is_file():
        listed: list[Row] = list(archive.rows())
        adapter = _Adapter(table.parent.absolute(), archive, splits=("",))
    else:
        listed = list(rows(table))
        has_media = archive and archive.has_media
        adapter = _Adapter(table.parent.absolute(), archive if has_media else None)
    for where, row in listed:
        try:
            yield where, adapter.clip(where, row)
        except UserError as error:
            yield where, error


def table_of(path: str | Path) -> Path:
    """The file that lists the clips of the dataset at `path`; a CMU-MOSI archive may lack it.

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


def name_of(path: str | Path) -> str:
    """What a dataset is called in the cache: its folder's name, or its manifest's stem."""
    path = Path(path)
    if path.name == LABELS:
        path = path.parent
    return path.stem if path.suffix in (".csv", ".jsonl", ".pkl") else path.resolve().name


# "file:line", and the columns as text: under None those too many, None in place of those lacking.
Row = tuple[str, Mapping[Any, Any]]


def rows(path: Path) -> Iterator[Row]:
    """The rows of a table (`.csv`, `.jsonl`); UserError with file and line for what is none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        where = f"{error.reason} at byte {error.start}"
        raise UserError(f"{path}:{line}: not UTF-8 ({where}); save it as UTF-8") from error
    if path.suffix == ".jsonl":
        return _json_rows(path, text)
    return _csv_rows(path, text)


def _csv_rows(path: Path, text: str) -> Iterator[Row]:
    allow_long_csv_fields()
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            yield f"{path}:{reader.line_num}", row
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: {error}") from error


def _json_rows(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise UserError(f"{path}:{number}: expected one JSON object a line")
        yield f"{path}:{number}", {k: "" if v is None else str(v) for k, v in row.items()}


@dataclass(frozen=True)
class _Adapter:
    """From a row to a clip. root: absolute, since workers may run in other folders."""

    root: Path
    archive: MosiArchive | None
    splits: Sequence[str] = SPLITS

    def clip(self, where: str, row: Mapping[Any, Any]) -> Clip:
        """Raises UserError for a row that can't be right."""
        if None in row or None in row.values():
            raise UserError(f"{where}: expected {len(row.keys() - {None})} columns")
        in_layout = "video_id" in row
        _require_columns(where, row, LAYOUT_COLUMNS if in_layout else MANIFEST_COLUMNS)
        split = row["mode" if in_layout else "split"]
        if split not in self.splits:
            raise UserError(f"{where}: unknown split {split!r}; one of {', '.join(SPLITS)}")
        id = f"{row['video_id']}/{row['clip_id']}" if in_layout else row["id"]
        scores = {
            k.removeprefix("label_"): _score(where, k, v) for k, v in row.items() if "label_" in k
        }
        return Clip(
            id=safe_id(where, id, parts=2 if in_layout else None),
            text=row["text"],
            label=_score(where, "label", row["label"]),
            labels={k: v for k, v in scores.items() if v is not None},
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
        return {part: str(self.root / row[part]) for part in ("video", "audio") if row.get(part)}


def _score(where: str, column: str, text: str) -> float | None:
    """None for an empty cell and for NaN: both are how tables say that a score is not known."""
    if not text.strip():
        return None
    try:
        score = float(text)
    except ValueError:
        score = math.inf
    if math.isinf(score):
        raise UserError(f"{where}: {column} {text!r} is not a number; leave it empty if unknown")
    return None if math.isnan(score) else score


def safe_id(where: str, id: str, parts: int | None = None) -> str:
    """Ids name files in the cache and in reports, so none may point out of a folder."""
    path = PurePosixPath(id)
    escapes = path.is_absolute() or "\\" in id or "\0" in id or {"..", "."} & set(id.split("/"))
    if escapes or not all(id.split("/")) or (parts and len(path.parts) != parts):
        raise UserError(f"{where}: id {id!r} is empty or leaves the dataset's folder")
    if UNPRINTABLE.search(id):
        raise UserError(f"{where}: id {id!r} holds a character that no report can show")
    return id


def _require_columns(where: str, row: Mapping[str, str], columns: tuple[str, ...]) -> None:
    if lacking := [column for column in columns if column not in row]:
        raise UserError(f"{where}: lacks {', '.join(lacking)}; has {', '.join(row)}")
