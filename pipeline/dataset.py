"""Adapters: from the layouts that datasets come in to an ordered table of clips."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.clip import SPLITS, Clip
from pipeline.errors import UNPRINTABLE, UserError

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
LAYOUT_COLUMNS = ("video_id", "clip_id", "text", "label", "annotation", "mode")
MANIFEST_COLUMNS = ("id", "text", "label", "split")
csv.field_size_limit(1 << 24)  # a transcript of 10,000 words is a valid field


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
        return "zh" if 2 * sum(bool(HAN.search(text)) for text in texts) > len(texts) else "en"


def load(path: str | Path) -> Dataset:
    """The dataset at `path`: a folder with `label.csv`, or a manifest (`.csv`, `.jsonl`).

    The folder's layout is the one that MMSA tools share for CMU-MOSI and CH-SIMS: `label.csv` with
    `video_id, clip_id, text, label, annotation, mode` (`label_T, label_A, label_V` for CH-SIMS)
    beside `Raw/<video_id>/<clip_id>.mp4`. A manifest has `id, video, audio, text, label, split`,
    paths relative to it; `video`, `audio` and every `label_…` are optional.

    Raises UserError with file and line for what can't be right.
    """
    path = Path(path)
    name = name_of(path)
    if path.is_dir():
        path = path / "label.csv"
    if not path.is_file():
        raise UserError(
            f"{path}: no dataset; give a folder with label.csv and Raw/, or a manifest (.csv, "
            ".jsonl) with the columns id, video, text, label, split"
        )
    table = list(rows(path))
    if not table:
        raise UserError(f"{path}: holds no clips")
    in_layout = "video_id" in table[0][1]
    clips = _layout_clips(path, table) if in_layout else _manifest_clips(path, table)
    return Dataset(
        name, Path(os.path.abspath(path.parent)), tuple(_without_duplicates(path, clips))
    )


def name_of(path: str | Path) -> str:
    """What a dataset is called in the cache: its folder's name, or its manifest's stem."""
    path = Path(path)
    if path.name == "label.csv":
        path = path.parent
    return path.stem if path.suffix in (".csv", ".jsonl") else path.resolve().name


Row = tuple[str, Mapping[str, str]]  # "file:line" and the columns as text


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
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if None in row or None in row.values():
                raise UserError(f"{where}: expected {len(reader.fieldnames or ())} columns")
            yield where, row
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


def _layout_clips(path: Path, rows: list[Row]) -> Iterator[tuple[str, Clip]]:
    raw = path.parent.absolute() / "Raw"  # workers may run in other folders
    for where, row in rows:
        _require_columns(where, row, LAYOUT_COLUMNS)
        id = _safe_id(where, f"{row['video_id']}/{row['clip_id']}", parts=2)
        # Transcripts without any media are a dataset too; one file that is gone is a fault.
        video = str(raw / f"{id}.mp4") if raw.is_dir() else None
        yield where, _clip(where, id, row, split=row["mode"], video=video)


def _manifest_clips(path: Path, rows: list[Row]) -> Iterator[tuple[str, Clip]]:
    for where, row in rows:
        _require_columns(where, row, MANIFEST_COLUMNS)
        id = _safe_id(where, row["id"])
        media = {
            part: str(path.parent.absolute() / row[part]) if row.get(part) else None
            for part in ("video", "audio")
        }
        yield where, _clip(where, id, row, split=row["split"], **media)


def _clip(where: str, id: str, row: Mapping[str, str], split: str, **media: str | None) -> Clip:
    if split not in SPLITS:
        raise UserError(f"{where}: unknown split {split!r}; one of {', '.join(SPLITS)}")
    scores = {
        k.removeprefix("label_"): _score(where, k, v) for k, v in row.items() if "label_" in k
    }
    return Clip(
        id=id,
        text=row["text"],
        label=_score(where, "label", row["label"]),
        labels={k: v for k, v in scores.items() if v is not None},
        annotation=row.get("annotation", ""),
        split=split,
        **media,
    )


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


def _safe_id(where: str, id: str, parts: int | None = None) -> str:
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


def _without_duplicates(path: Path, clips: Iterator[tuple[str, Clip]]) -> Iterator[Clip]:
    first: dict[str, str] = {}
    for where, clip in clips:
        if clip.id in first:
            raise UserError(f"{where}: id {clip.id!r} is there already, at {first[clip.id]}")
        first[clip.id] = where
        yield clip
