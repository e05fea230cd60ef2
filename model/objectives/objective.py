"""What a model learns, from true values to metrics: the contract of every kind of target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from torch import Tensor

from model.metrics import Metrics
from model.objectives.prediction import Prediction
from model.objectives.sums import Sums

Row = Mapping[str, str]  # a line of predictions.csv
Column = Literal["score", "class"]


@dataclass(frozen=True)
class Validated:
    """What a run said of its validation clips: truth and answers [n, columns]."""

    truth: np.ndarray
    answers: np.ndarray


@dataclass(frozen=True)
class Confusion:
    """counts [classes, classes]: rows are true classes, columns predicted ones."""

    title: str
    names: Sequence[str]
    counts: np.ndarray

    @classmethod
    def of(
        cls, title: str, names: Sequence[str], truth: np.ndarray, answers: np.ndarray
    ) -> Confusion:
        """Of class numbers [n]; where the truth is NaN, a clip is not counted."""
        known = np.isfinite(truth)
        counts = np.zeros((len(names), len(names)), np.int64)
        np.add.at(counts, (truth[known].astype(int), answers[known].astype(int)), 1)
        return cls(title, names, counts)

    def share(self, row: int, column: int) -> float:
        """In per cent of the row's clips."""
        return 100 * float(self.counts[row, column]) / max(1, int(self.counts[row].sum()))


@dataclass(frozen=True)
class Scores:
    """Scores from `low` to `high`, true and predicted [n]."""

    title: str
    low: float
    high: float
    truth: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Objective(ABC):
    """How a model learns a target, and how that is told and measured.

    A target has columns: one for a score or classes, one for each of several labels. Their truth is
    float64 [n, columns], as `truth` gives it: a score, the number of a class, 1 or 0 for a label
    that is present or not, and NaN for what is missing. A network's outputs and the `predictions`
    made from them are [n, outputs]; an answer, [n, columns], is what is held against the truth.

    name: of the target. called: what a table of runs adds to it.
    """

    name: str
    called: ClassVar[str] = ""

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """What is to be told of a clip: scores, and numbers of classes."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many a network has."""

    @property
    @abstractmethod
    def lead(self) -> str:
        """The metric by which models of it are told apart on validation."""

    @abstractmethod
    def truth(self, values: np.ndarray) -> np.ndarray:
        """True values as `Samples.labels` has them, [n] or [n, columns], as they are learnt."""

    @abstractmethod
    def loss(self, outputs: Tensor, truth: Tensor) -> Tensor:
        """The mean error of outputs, a scalar; truth: float32, what is NaN in it has no part.

        A function of tensors alone, which `torch.func.vmap` can map.
        """

    @abstractmethod
    def predictions(self, outputs: Tensor) -> Tensor:
        """Scores, or probabilities of classes and labels."""

    @abstractmethod
    def answers(self, predictions: np.ndarray) -> np.ndarray:
        """What the predictions say: scores, numbers of classes, 1 or 0."""

    @abstractmethod
    def measure(self, truth: np.ndarray, answers: np.ndarray, warn: bool = True) -> Metrics:
        """All metrics; those that are shares, 0..1. warn: of what can't be measured."""

    @abstractmethod
    def references(self, truth: np.ndarray) -> dict[str, Metrics]:
        """The best that one answer for every clip reaches, "majority class" among them."""

    @abstractmethod
    def sums(self, truth: np.ndarray, answers: np.ndarray) -> dict[str, Sums]:
        """The metrics as functions of sums over clips."""

    @abstractmethod
    def errors(self, truth: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """How far off each clip's prediction is, [n]; NaN where nothing is known of it."""

    @property
    @abstractmethod
    def header(self) -> list[str]:
        """The columns of predictions.csv beside id and split."""

    @abstractmethod
    def cells(self, truth: Sequence[float], predictions: Sequence[float]) -> list[object]:
        """A clip's line in these columns; what is missing is empty."""

    @abstractmethod
    def read(self, rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
        """Truth and predictions of such lines. Raises ValueError, LookupError for what is none."""

    @abstractmethod
    def said(
        self, predictions: np.ndarray, validated: Callable[[], Validated]
    ) -> Iterator[Prediction]:
        """The predictions for a person, with how sure they are.

        validated: gives what the run said of clips that it was not fitted to.
        """

    @abstractmethod
    def told(self, truth: Sequence[float]) -> str:
        """A true value or an answer in a few characters."""

    def confusions(self, truth: np.ndarray, answers: np.ndarray) -> list[Confusion]:
        """Which classes are taken for which, where there are classes."""
        return []

    def scores(self, truth: np.ndarray, answers: np.ndarray) -> list[Scores]:
        """What is a score, to be drawn."""
        return []


def column(rows: Sequence[Row], name: str) -> np.ndarray:
    """Numbers of one column, float64 [n, 1]; NaN where it is empty."""
    return np.array([[float(row[name] or "nan")] for row in rows]).reshape(len(rows), 1)
