"""Any dataset written as a manifest: a table to correct by hand, with its targets beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pipeline.dataset import region, span
from pipeline.dataset.clip import MEDIA, Clip
from pipeline.dataset.load import Dataset
from pipeline.dataset.target import FILE, Target
from pipeline.errors import UserError
from pipeline.io.atomic_write import atomic_write
from pipeline.io.csv_text import csv_text
from pipeline.io.yaml_file import written


def write_manifest(dataset: Dataset, path: Path) -> list[Path]:
    """Write the clips to `path`, a `.csv`, and the targets that are declared to `targets.yaml`.

    Media below the manifest's folder is named from there, other media by its whole path. Gives the
    files written. Raises UserError where one is there already, but for the same targets.
    """
    files = {path: _table([_row(clip, path.parent) for clip in dataset.clips])}
    if dataset.declared:
        files[path.with_name(FILE)] = _targets(dataset.declared)
    new = [p for p, text in files.items() if not (p.name == FILE and _holds(p, text))]
    if there := next(filter(Path.exists, new), None):
        raise UserError(f"{there} already exists; remove it or choose another folder")
    for place in new:
        with atomic_write(place) as part:
            part.write_text(files[place], encoding="utf-8")
    return new


def _row(clip: Clip, folder: Path) -> dict[str, str]:
    """A clip by the columns of a manifest, without those that it needs not."""
    media = {part: _place(place, folder) for part in MEDIA if (place := getattr(clip, part))}
    values = {name: v if isinstance(v, str) else f"{v:.9g}" for name, v in clip.values()}
    bounds = zip(span.COLUMNS, (clip.start_s, clip.end_s), strict=True)
    cut = {column: repr(seconds) for column, seconds in bounds if seconds is not None}
    optional = {region.COLUMN: region.told(clip.region), "annotation": clip.annotation}
    kept = {column: text for column, text in optional.items() if text}
    own = {"text": clip.text, **values, **kept, "split": clip.split}
    return {"id": clip.id, **media, **cut, **own}


def _place(place: str, folder: Path) -> str:
    inside = os.path.relpath(place, folder.absolute()) if "://" not in place else ".."
    return place if inside.startswith("..") else inside


def _table(rows: list[dict[str, str]]) -> str:
    """The rows, with a column for whatever any of them has, in the order of most of them."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    columns.sort(key=lambda column: (column == "split", column != "id"))
    return csv_text(columns, ([row.get(column, "") for column in columns] for row in rows))


def _targets(declared: tuple[Target, ...]) -> str:
    told: Mapping[str, object] = {
        target.name: target.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)
        for target in declared
    }
    return written(dict(told))


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text
