"""A pickle of `train`, `valid` and `test`: opened safely, and read in the dialect it is in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from pipeline.dataset.clip import SPLITS
from pipeline.errors import UserError
from pipeline.formats import mmsa, mult
from pipeline.formats.source import Feature, Source, require_unique
from pipeline.formats.spans import spans
from pipeline.formats.split import Split
from pipeline.io import hashing, restricted_pickle

MODALITIES = {"vision": "visual", "audio": "audio", "text": "text"}


def read(path: Path) -> Source:
    """The clips and features of an MMSA file or of one in the dialect of MulT.

    Raises UserError for what is not such a file: file, split, clip and field, and both values.
    """
    splits = _splits(path)
    dialect = mmsa if all("regression_labels" in split for split in splits) else mult
    clips = tuple(chain.from_iterable(dialect.clips(split) for split in splits))
    require_unique(str(path), clips)
    present = [field for field in MODALITIES if all(field in split for split in splits)]
    if not clips or not present:
        lacks = "features: vision, audio, text" if clips else "clips"
        raise UserError(f"{path}: holds no {lacks}")
    return Source(
        path,
        dialect.FORMAT,
        hashing.of_file(path),
        clips,
        _features(path, splits, present),
        tuple(f"the file has no {field}" for field in MODALITIES if field not in present),
    )


def _splits(path: Path) -> list[Split]:
    try:
        with open(path, "rb") as file:
            content = restricted_pickle.load(file, str(path))
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from error
    named = content if isinstance(content, dict) else {}
    if not all(isinstance(named.get(name), dict) for name in SPLITS):
        holds = ", ".join(map(str, named)) if named else type(content).__name__
        raise UserError(f"{path}: expected a dict of train, valid and test; holds {holds}")
    return [Split(name, f"{path}, {name}", named[name]) for name in SPLITS]


def _features(path: Path, splits: Sequence[Split], fields: Sequence[str]) -> dict[str, Feature]:
    """Each field over all splits, every clip's rows cut to those that are real."""
    found: dict[str, list[np.ndarray]] = {field: [] for field in fields}
    for split in splits:
        rows = {field: split.rows(field) for field in fields}
        cuts = spans(split, rows)
        for field in fields:
            found[field] += [x[cut] for x, cut in zip(rows[field], cuts[field], strict=True)]
    return {
        field: Feature(MODALITIES[field], _width(path, field, rows), rows.__getitem__)
        for field, rows in found.items()
    }


def _width(path: Path, field: str, rows: Sequence[np.ndarray]) -> int:
    widths = list(dict.fromkeys(x.shape[1] for x in rows))
    if len(widths) > 1:
        raise UserError(f"{path}: {field} is {widths[0]} wide in one split, {widths[1]} in another")
    return widths[0]
