"""The table of a run's predictions, written and read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.data.samples import Samples
from model.objectives.objective import Objective, Row, Validated
from model.runs.files import PREDICTIONS, read_rows, understood
from model.training.loop import Trained, in_columns


def columns(trained: Trained) -> Sequence[str]:
    """A classifier has the probability of each class too; each of several targets has its own."""
    return ["id", "split", *trained.predictor.objective.header]


def rows(trained: Trained, samples: Samples) -> Iterator[list[Any]]:
    """One row per clip: train, then valid, then test."""
    objective = trained.predictor.objective
    for split, found in trained.predictions.items():
        clips = np.flatnonzero(samples.splits == split)
        truth = objective.truth(samples.labels[clips]).tolist()
        predictions = in_columns(found).tolist()
        for clip, true, said in zip(clips.tolist(), truth, predictions, strict=True):
            yield [samples.ids[clip], split, *objective.cells(true, said)]


def validated(rows: Sequence[Row], objective: Objective) -> Validated:
    """What was said of the validation clips."""
    truth, predictions = objective.read([row for row in rows if row["split"] == "valid"])
    return Validated(truth, objective.answers(predictions))


def read_validated(run: Path, objective: Objective) -> Validated:
    """The same of a run folder; UserError where it has none that are finite."""
    rows = read_rows(run, PREDICTIONS)
    with understood(run, PREDICTIONS):
        found = validated(rows, objective)
        if not len(found.truth) or not is_whole(found.truth, found.answers).all():
            raise ValueError("no finite scores of validation clips")
        return found


def is_whole(truth: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Of which clips something is known, and all that is predicted is a number, [n]."""
    known = np.isfinite(truth).any(axis=1) & ~np.isinf(truth).any(axis=1)
    whole: np.ndarray = known & np.isfinite(predictions).all(axis=1)
    return whole
