"""Pickles of `train`, `valid` and `test`, by MMSA or in the dialect of MulT, opened safely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.dataset.clip import SPLITS, Clip
from pipeline.errors import UserError
from pipeline.formats import mmsa
from pipeline.formats.feature_set import Feature, FeatureSet
from pipeline.formats.format import Format
from pipeline.formats.lengths import real_rows
from pipeline.formats.pickled_split import PickledSplit, told_fields
from pipeline.io import hashing, pickle_io

MODALITIES = {"vision": "visual", "audio": "audio", "text": "text"}


class FeaturePickle(Format):
    """A pickle from MMSA, or from MulT, MISA or MMIM, aligned or not."""

    def reads(self, path: Path) -> bool:
        return not path.is_dir()

    def read(
        self, path: Path, given: Mapping[str, Sequence[str]], language: str | None
    ) -> FeatureSet:
        """All that the file holds."""
        if language or any(given.values()):
            raise UserError("--visual, --audio, --text and --language go with a MERBench folder")
        return read(path)


def read(path: Path) -> FeatureSet:
    """The clips and features of a file.

    Raises UserError for what is not such a file: file, split, clip and field, and both values.
    """
    splits = _splits(path)
    is_mmsa = all("regression_labels" in split for split in splits)
    clips_of = mmsa.clips if is_mmsa else _mult_clips
    clips = tuple(clip for split in splits for clip in clips_of(split))
    present = [field for field in MODALITIES if all(field in split for split in splits)]
    if not clips or not present:
        lacking = "features: vision, audio, text" if clips else "clips"
        raise UserError(f"{path}: holds no {lacking}")
    return FeatureSet(
        path,
        "mmsa" if is_mmsa else "mult",
        hashing.of_file(path),
        clips,
        _features(path, splits, present),
        tuple(f"the file has no {field}" for field in MODALITIES if field not in present),
    )


def _splits(path: Path) -> list[PickledSplit]:
    try:
        with open(path, "rb") as file:
            content = pickle_io.load(file, str(path))
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from error
    named = content if isinstance(content, dict) else {}
    if not all(isinstance(named.get(name), dict) for name in SPLITS):
        holds = told_fields(named) if named else type(content).__name__
        raise UserError(f"{path}: expected a dict of train, valid and test; holds {holds}")
    return [PickledSplit(name, f"{path}, {name}", named[name]) for name in SPLITS]


def _mult_clips(split: PickledSplit) -> list[Clip]:
    """Clips as MulT, MISA and MMIM have them: `labels` [n, 1, 1] and `id`, no transcripts."""
    if "labels" not in split:
        raise UserError(
            f"{split.where}: has neither regression_labels, as MMSA's files, nor labels, as MulT's"
        )
    labels = zip(split.ids, split.numbers("labels"), strict=True)
    return [Clip(id, label=label, split=split.name) for id, label in labels]


def _features(
    path: Path, splits: Sequence[PickledSplit], fields: Sequence[str]
) -> dict[str, Feature]:
    """Each field over all splits, every clip's rows cut to those that are real."""
    found: dict[str, list[np.ndarray]] = {field: [] for field in fields}
    for split in splits:
        for field, rows in real_rows(split, fields).items():
            found[field] += rows
    return {
        field: Feature(MODALITIES[field], _width(path, field, rows), rows.__getitem__)
        for field, rows in found.items()
    }


def _width(path: Path, field: str, rows: Sequence[np.ndarray]) -> int:
    first, *others = dict.fromkeys(x.shape[1] for x in rows)
    if others:
        raise UserError(f"{path}: {field} is {first} wide in one split, {others[0]} in another")
    return first
