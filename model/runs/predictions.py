"""The table of a run's predictions, written and read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.data.samples import Samples
from model.network import CLASSES
from model.runs.files import PREDICTIONS, read_rows, understood
from model.training.loop import Trained


def columns(trained: Trained) -> Sequence[str]:
    """A classifier has the probability of each class too."""
    is_score = trained.predictor.network.outputs == 1
    return ["id", "split", "label", "prediction", *(() if is_score else CLASSES)]


def rows(trained: Trained, samples: Samples) -> Iterator[list[Any]]:
    """One row per clip: train, then valid, then test."""
    classes = samples.scale.three_classes(samples.labels)
    for split in trained.predictions:
        clips = np.flatnonzero(samples.splits == split).tolist()
        for clip, y in zip(clips, trained.predictions[split].tolist(), strict=True):
            told: list[Any]
            if isinstance(y, float):
                told = [float(samples.labels[clip]), y]
            else:
                told = [CLASSES[classes[clip]], CLASSES[int(np.argmax(y))], *y]
            yield [samples.ids[clip], split, *told]


def residuals(rows: Iterable[Mapping[str, str]]) -> np.ndarray:
    """True minus predicted score of the validation clips, float64 [n]."""
    valid = [row for row in rows if row["split"] == "valid"]
    return np.array([float(row["label"]) - float(row["prediction"]) for row in valid])


def read_residuals(run: Path) -> np.ndarray:
    """The `residuals` of a run folder; UserError where it has none that are finite."""
    rows = read_rows(run, PREDICTIONS)
    with understood(run, PREDICTIONS):
        found = residuals(rows)
        if not len(found) or not np.isfinite(found).all():
            raise ValueError("no finite scores of validation clips")
        return found
