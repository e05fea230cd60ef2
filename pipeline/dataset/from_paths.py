"""Clips as a user names them: files, folders, datasets and their clips, with texts from a table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.dataset.clip import VIDEOS, Clip
from pipeline.dataset.layouts import NAMED, is_dataset
from pipeline.dataset.load import load
from pipeline.dataset.tables import TABLES, TableRow, rows
from pipeline.errors import UserError
from pipeline.messages import listed, quoted

KEYS = ("file", "video", "id")  # the columns that may say which clip a row is of


def of_file(path: str | Path) -> Clip:
    """The clip in a media file, called as the file was named."""
    name = str(path)  # a URL is told as it was given, and not opened
    return Clip(name, video=name if "://" in name else os.path.abspath(name))


def clips_of(names: Sequence[str], known: Callable[[], Mapping[str, Clip]]) -> list[Clip]:
    """The clips that are named, each once, in that order.

    names: media files, datasets (a folder with label.csv or an archive, a manifest), other folders
    (every video below, sorted) and ids of `known` clips, which are asked for only where there is no
    such file. What is neither is a clip that can't be read. Raises UserError for a folder without
    videos.
    """
    found = [clip for name in names for clip in _named(name, known)]
    return list({(clip.id, clip.video, clip.text): clip for clip in found}.values())


def with_table(clips: Sequence[Clip], path: Path) -> list[Clip]:
    """The clips with the texts, and audio files, that a table has of them.

    A row names its clip by `id` (or `video_id` and `clip_id`) or by `file`: as much of the end of
    its path as tells it apart, with or without the suffix. Raises UserError for a row that fits
    two clips, and where none fits any.
    """
    table = _table(path)
    used: dict[str, str] = {}
    told = []
    for clip in clips:
        name = next((name for name in _names(clip) if name in table), None)
        if name is None:
            told.append(clip)
            continue
        where, row = table[name]
        if (other := used.setdefault(where, clip.id)) != clip.id:
            raise UserError(f"{where}: {name!r} fits {other} and {clip.id}; give more of the path")
        audio = str(path.parent.absolute() / row["audio"]) if row.get("audio") else clip.audio
        told.append(replace(clip, text=row["text"], audio=audio))
    if not used:
        raise UserError(f"{path}: no row matches a given clip, such as {clips[0].id}")
    return told


def _named(name: str, known: Callable[[], Mapping[str, Clip]]) -> Iterator[Clip]:
    path = Path(name)
    if is_dataset(path) if path.is_dir() else path.suffix in TABLES and path.is_file():
        yield from load(path).clips
    elif path.is_dir():
        videos = sorted(p for p in path.rglob("*") if _is_video(p.relative_to(path)))
        if not videos:
            raise UserError(f"{name}: no videos in this folder ({', '.join(sorted(VIDEOS))})")
        yield from map(of_file, videos)
    elif not path.exists() and name in (clips := known()):
        yield clips[name]
    else:
        yield of_file(name)


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS and not any(p.startswith(".") for p in path.parts)


def _table(path: Path) -> dict[str, TableRow]:
    """Every row by the names that it may go by."""
    if not path.is_file():
        raise UserError(f"{path}: no such table")
    table: dict[str, TableRow] = {}
    for where, row in rows(path):
        key = next((row[column] for column in KEYS if row.get(column)), "")
        if row.get("video_id") and row.get("clip_id"):
            key = f"{row['video_id']}/{row['clip_id']}"
        if not key or not isinstance(row.get("text"), str):
            has = listed([quoted(str(column))[1:-1] for column in row], NAMED)
            raise UserError(f"{where}: expected columns id or file, and text; has {has}")
        # As it is written, and as a path from the table's folder.
        for name in {str(Path(key)), os.path.abspath(path.parent / key)}:
            if name in table:
                raise UserError(f"{where}: {key!r} already appears at {table[name][0]}")
            table[name] = where, row
    return table


def _names(clip: Clip) -> Iterator[str]:
    """What a row may call the clip, the most telling first."""
    yield clip.id
    parts = Path(clip.video or "").parts
    for start in range(len(parts)):
        end = Path(*parts[start:])
        yield from (str(end), str(end.with_suffix("")))
