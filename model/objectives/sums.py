"""Metrics as functions of sums over clips, so that a resample of the clips is a weighting of them.

Each is given what every clip adds, and gives the metric of totals, for many resamples at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Parts = Mapping[str, np.ndarray]  # what each clip adds [clips], or totals [resamples], by name


@dataclass(frozen=True)
class Sums:
    """A metric made of sums. parts: what each clip adds, [clips]. value: from totals to it."""

    parts: Parts
    value: Callable[[Parts], np.ndarray]


def mean(values: np.ndarray, counted: np.ndarray) -> Sums:
    """The mean of `values` over the clips that are `counted`, both [clips]."""
    return Sums({"sum": values, "count": counted}, lambda of: of["sum"] / of["count"])


def correlation(truth: np.ndarray, prediction: np.ndarray) -> Sums:
    """Pearson's correlation."""
    return Sums(_moments(truth, prediction), _correlated)


def concordance(truth: np.ndarray, prediction: np.ndarray) -> Sums:
    """Lin's concordance correlation coefficient."""
    apart = {"d": np.full(len(truth), truth.mean() - prediction.mean() if len(truth) else 0.0)}
    return Sums({**_moments(truth, prediction), **apart}, _concordant)


def weighted_f1(truth: np.ndarray, prediction: np.ndarray, counted: np.ndarray) -> Sums:
    """F1 by class, averaged by how often each is true."""
    classes = np.unique(truth[counted > 0])
    return Sums(_hits(truth, prediction, counted, classes), _weighted)


def macro_f1(truth: np.ndarray, prediction: np.ndarray, counted: np.ndarray) -> Sums:
    """F1 by class, averaged over those that are true or predicted in a resample."""
    classes = np.unique([truth[counted > 0], prediction[counted > 0]])
    return Sums(_hits(truth, prediction, counted, classes), _macro)


def recall(truth: np.ndarray, prediction: np.ndarray, counted: np.ndarray) -> Sums:
    """Recall by class, averaged over those that are true in a resample: UAR, or WAcc of two."""
    classes = np.unique(truth[counted > 0])
    return Sums(_hits(truth, prediction, counted, classes), _recalled)


def average(several: Sequence[Sums]) -> Sums:
    """The mean of several metrics of a resample."""
    parts = {f"{k} {n}": own for k, one in enumerate(several) for n, own in one.parts.items()}

    def value(of: Parts) -> np.ndarray:
        found = [
            one.value({name: of[f"{k} {name}"] for name in one.parts})
            for k, one in enumerate(several)
        ]
        return np.mean(found, axis=0)

    return Sums(parts, value)


def among(sums: Sums, known: np.ndarray) -> Sums:
    """Sums over those clips that are `known` [clips], as sums over all, to which others add 0."""

    def placed(values: np.ndarray) -> np.ndarray:
        every = np.zeros(len(known))
        every[known] = values
        return every

    return Sums({name: placed(values) for name, values in sums.parts.items()}, sums.value)


def _moments(truth: np.ndarray, prediction: np.ndarray) -> dict[str, np.ndarray]:
    x, y = truth - truth.mean(), prediction - prediction.mean()  # so that squares keep their digits
    return {"n": np.ones(len(truth)), "x": x, "y": y, "xx": x * x, "yy": y * y, "xy": x * y}


def _spread(of: Parts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variances and covariance."""
    n = of["n"]
    xx, yy = (of[v + v] / n - np.square(of[v] / n) for v in "xy")
    return xx, yy, of["xy"] / n - of["x"] * of["y"] / n**2


def _correlated(of: Parts) -> np.ndarray:
    xx, yy, xy = _spread(of)
    return np.where((xx > 1e-12) & (yy > 1e-12), xy / np.sqrt(xx * yy), np.nan)


def _concordant(of: Parts) -> np.ndarray:
    xx, yy, xy = _spread(of)
    apart = xx + yy + np.square((of["x"] - of["y"] + of["d"]) / of["n"])
    return np.where(apart > 1e-12, 2 * xy / apart, np.nan)


def _hits(
    truth: np.ndarray, prediction: np.ndarray, counted: np.ndarray, classes: np.ndarray
) -> dict[str, np.ndarray]:
    return {
        f"{what} {c}": counted * is_so
        for c in classes
        for what, is_so in (
            ("true", truth == c),
            ("said", prediction == c),
            ("hit", (truth == c) & (prediction == c)),
        )
    }


def _by_class(of: Parts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often each class was true, predicted, and both, [classes, resamples]."""
    classes = [name.removeprefix("true ") for name in of if name.startswith("true ")]
    true, said, hit = (np.stack([of[f"{w} {c}"] for c in classes]) for w in ("true", "said", "hit"))
    return true, said, hit


def _weighted(of: Parts) -> np.ndarray:
    true, said, hit = _by_class(of)
    f1 = np.where(true > 0, 2 * hit / np.maximum(true + said, 1), 0)
    return (f1 * true).sum(0) / true.sum(0)


def _macro(of: Parts) -> np.ndarray:
    true, said, hit = _by_class(of)
    return (2 * hit / np.maximum(true + said, 1)).sum(0) / (true + said > 0).sum(0)


def _recalled(of: Parts) -> np.ndarray:
    true, _, hit = _by_class(of)
    return (hit / np.maximum(true, 1)).sum(0) / (true > 0).sum(0)
