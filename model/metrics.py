"""Scores and classes against the truth, exactly as the field reports CMU-MOSI and CH-SIMS."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from pipeline.errors import UserError
from pipeline.html.numbers import plain

Binning = Callable[[np.ndarray], np.ndarray]
Metrics = dict[str, float]
TITLES = {
    "acc2": "Acc-2",
    "acc3": "Acc-3",
    "acc5": "Acc-5",
    "acc7": "Acc-7",
    "acc": "Acc",
    "wacc": "WAcc",
    "f1": "F1",
    "f1_macro": "macro F1",
    "uar": "UAR",
    "corr": "Corr",
    "ccc": "CCC",
    "mae": "MAE ↓",
    "acc2_nonneg": "Acc-2 ≥0",
    "f1_nonneg": "F1 ≥0",
}
"""What a table calls each metric, in the order of the paper's tables."""
LEADS = ("mae", "acc3", "wacc", "f1")
"""The metrics that say which of two models is better: the first that a target has."""


def ordered(keys: Iterable[str]) -> list[str]:
    """Metrics as a table has them: those of one target or label, as `happy.f1`, together."""
    places, names = list(TITLES), list(keys)
    groups = list(dict.fromkeys(map(of_what, names)))
    return sorted(names, key=lambda key: (groups.index(of_what(key)), places.index(measure(key))))


def of_what(key: str) -> str:
    """The target or label that a metric is of, "" where there is but one: `happy` of `happy.f1`."""
    return key.rpartition(".")[0]


def measure(key: str) -> str:
    """What a metric measures, whatever it is of: `f1` of `happy.f1`."""
    return key.rpartition(".")[2]


def title(key: str) -> str:
    """What a table calls a metric."""
    return f"{of_what(key)} {TITLES[measure(key)]}".lstrip()


def is_share(key: str) -> bool:
    """Whether it is a share of the clips, or made from such."""
    return measure(key) not in ("mae", "corr", "ccc")


def shown(key: str, value: float | None) -> str:
    """A metric as pages show it: a share in per cent, others as they are."""
    return plain(100 * value) if is_share(key) and value is not None else plain(value, 3)


def sign(key: str) -> int:
    """1 where more is better, else −1."""
    return -1 if measure(key) == "mae" else 1


def lead(keys: Sequence[str]) -> str:
    """The metric by which models are told apart, of the first target where there are several."""
    own = [key for key in keys if of_what(key) == of_what(keys[0])]
    return next((key for name in LEADS for key in own if measure(key) == name), "")


def _has_none(scores: np.ndarray) -> NoReturn:
    raise UserError("these scores have no negative, neutral and positive ones")


@dataclass(frozen=True)
class Scale:
    """How a dataset's scores are measured.

    low, high: where scores lie. is_clipped: whether values are cut to that before measuring.
    accuracies: from scores to class numbers, by metric. f1s: which accuracy's classes an F1 is of.
    without_zeros: metrics that leave out clips of score 0.
    three_classes: from true scores to 0 negative, 1 neutral, 2 positive. predicted_classes: the
    same of any scores, where a prediction is hardly ever exactly 0. Both raise UserError for a
    scale without classes.
    """

    name: str
    low: float
    high: float
    is_clipped: bool = False
    accuracies: Mapping[str, Binning] = field(default_factory=dict)
    f1s: Mapping[str, str] = field(default_factory=dict)
    without_zeros: frozenset[str] = frozenset()
    three_classes: Binning = _has_none
    predicted_classes: Binning = _has_none

    @property
    def finest(self) -> str:
        """The accuracy of the most classes, "" where the scale has no classes."""
        return max(self.accuracies, key=lambda key: (key.startswith("acc"), key), default="")


def _rounded(limit: float) -> Binning:
    return lambda x: np.round(np.clip(x, -limit, limit)).astype(np.int64)


def _between(*edges: float) -> Binning:
    """Bins that are closed on the right."""
    return lambda x: np.digitize(x, edges, right=True)


MOSI = Scale(
    name="mosi",
    low=-3.0,
    high=3.0,
    is_clipped=False,
    accuracies={
        "acc2": lambda x: (x > 0).astype(np.int64),  # negative/positive, zero labels left out
        "acc2_nonneg": lambda x: (x >= 0).astype(np.int64),  # negative/non-negative
        "acc5": _rounded(2.0),
        "acc7": _rounded(3.0),
    },
    f1s={"f1": "acc2", "f1_nonneg": "acc2_nonneg"},
    without_zeros=frozenset({"acc2"}),
    three_classes=lambda x: np.sign(x).astype(np.int64) + 1,
    predicted_classes=lambda x: np.sign(np.round(x)).astype(np.int64) + 1,  # as Acc-7's: |x| ≤ 0.5
)
SIMS = Scale(
    name="sims",
    low=-1.0,
    high=1.0,
    is_clipped=True,
    accuracies={
        "acc2": _between(0.0),
        "acc3": _between(-0.1, 0.1),
        "acc5": _between(-0.7, -0.1, 0.1, 0.7),
    },
    f1s={"f1": "acc2"},
    without_zeros=frozenset(),
    three_classes=_between(-0.1, 0.1),
    predicted_classes=_between(-0.1, 0.1),
)
SCALES = {scale.name: scale for scale in (MOSI, SIMS)}


def scale_of(labels: np.ndarray) -> Scale:
    """The scale that fits the range of `labels` [n]: CH-SIMS within ±1, else CMU-MOSI within ±3."""
    largest = float(np.abs(labels).max(initial=0.0))
    for scale in (SIMS, MOSI):
        if largest <= scale.high:
            return scale
    raise UserError(
        f"labels reach {largest:g}; expected −1..1 (CH-SIMS) or −3..3 (CMU-MOSI): rescale them, or "
        "declare their range in targets.yaml"
    )


def scale_within(low: float, high: float) -> Scale:
    """The scale of scores from `low` to `high`: CMU-MOSI's or CH-SIMS's, or one without classes."""
    known = {(scale.low, scale.high): scale for scale in SCALES.values()}
    return known.get((low, high)) or Scale(f"{low:g}..{high:g}", low, high)


def regression(
    truth: np.ndarray, prediction: np.ndarray, scale: Scale, warn: bool = True
) -> Metrics:
    """MAE, Corr, accuracies and weighted F1 of scores [n]; accuracies are shares, 0..1.

    On a scale without accuracies there is the CCC in their place. A constant prediction has no
    correlation: `corr` is nan, with a warning.
    """
    truth, prediction = np.asarray(truth, np.float64), np.asarray(prediction, np.float64)
    if scale.is_clipped:
        truth, prediction = (np.clip(x, scale.low, scale.high) for x in (truth, prediction))
    result = {"mae": _mean(np.abs(truth - prediction)), "corr": _corr(truth, prediction)}
    if warn and np.isnan(result["corr"]):
        warnings.warn("Corr is nan: the labels or the predictions are constant", stacklevel=2)
    if not scale.accuracies:
        result["ccc"] = concordance(truth, prediction)
    pairs = {key: _kept(key, truth, prediction, scale) for key in scale.accuracies}
    result |= {key: accuracy(*pair) for key, pair in pairs.items()}
    return result | {key: weighted_f1(*pairs[of]) for key, of in scale.f1s.items()}


def concordance(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Lin's concordance correlation coefficient of scores [n], by population moments (Lin, 1989).

    2 cov / (var + var + (mean − mean)²); nan where all of both are one number.
    """
    if not len(truth):
        return float("nan")
    apart = np.square(truth.mean() - prediction.mean()) + truth.var() + prediction.var()
    together = 2 * np.mean((truth - truth.mean()) * (prediction - prediction.mean()))
    return float(together / apart) if apart > 0 else float("nan")


def accuracy(truth: np.ndarray, prediction: np.ndarray) -> float:
    """The share of equal classes; nan where there are none to compare."""
    return _mean(truth == prediction)


def weighted_f1(truth: np.ndarray, prediction: np.ndarray) -> float:
    """F1 by class, 0 where undefined, averaged by how often each class is true."""
    if not len(truth):
        return float("nan")
    classes, support = np.unique(truth, return_counts=True)
    hits = np.array([np.sum((truth == c) & (prediction == c)) for c in classes])
    predicted = np.array([np.sum(prediction == c) for c in classes])
    return float(np.average(2 * hits / (support + predicted), weights=support))


def regression_references(truth: np.ndarray, scale: Scale) -> dict[str, Metrics]:
    """The best that one answer for every clip reaches on scores [n], whatever the answer.

    "majority class" is, for each accuracy by itself, the most frequent of its classes; no single
    class scores higher. "median score" is the constant of least MAE, with all that follows from
    it. Both know the labels they are measured on, which no model may: a row that equals one of
    them, or lies below, has told the clips from each other no better than a constant does.
    """
    median = np.full(len(truth), np.median(truth))
    measured = regression(truth, median, scale, warn=False)
    majority = {"majority class": _majority(truth, scale)} if scale.accuracies else {}
    return {**majority, "median score": measured}


def _majority(truth: np.ndarray, scale: Scale) -> Metrics:
    if scale.is_clipped:
        truth = np.clip(truth, scale.low, scale.high)
    true = {key: _kept(key, truth, truth, scale)[0] for key in scale.accuracies}
    pairs = {key: (own, np.full(len(own), most_frequent(own))) for key, own in true.items()}
    result = {"mae": float("nan"), "corr": float("nan")}
    result |= {key: accuracy(*pair) for key, pair in pairs.items()}
    return result | {key: weighted_f1(*pairs[of]) for key, of in scale.f1s.items()}


def classes_of(
    key: str, truth: np.ndarray, prediction: np.ndarray, scale: Scale
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether the accuracy `key` counts a clip, its true class and its predicted one, all [n]."""
    counted = truth != 0 if key in scale.without_zeros else np.full(len(truth), True)
    binned = scale.accuracies[key]
    return counted, binned(truth), binned(prediction)


def _kept(
    key: str, truth: np.ndarray, prediction: np.ndarray, scale: Scale
) -> tuple[np.ndarray, np.ndarray]:
    counted, *classes = classes_of(key, truth, prediction, scale)
    true, predicted = (own[counted] for own in classes)
    return true, predicted


def most_frequent(classes: np.ndarray) -> int:
    """The number of the class that most clips [n] have; the least of several, 0 of no clips."""
    values, counts = np.unique(classes, return_counts=True)
    return int(values[counts.argmax()]) if len(values) else 0


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _corr(a: np.ndarray, b: np.ndarray) -> float:
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):  # all but constant
        return float(np.corrcoef(a, b)[0, 1])
