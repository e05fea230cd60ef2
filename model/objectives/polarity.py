"""The class of a score, negative, neutral or positive: what `--task classification` predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from model.metrics import Metrics, Scale, accuracy, most_frequent, weighted_f1
from model.objectives import sums
from model.objectives.classes import Classes
from model.objectives.prediction import POLARITIES
from model.objectives.sums import Sums


@dataclass(frozen=True, kw_only=True)
class Polarity(Classes):
    """Three classes in an order, with the metrics that MSA papers give of them."""

    scale: Scale
    names: Sequence[str] = POLARITIES
    called: ClassVar[str] = "classes"

    @property
    def lead(self) -> str:
        return "acc3"

    @property
    def _shares(self) -> Sequence[str]:
        return self.names

    def truth(self, values: np.ndarray) -> np.ndarray:
        known = np.isfinite(values)
        classes = self.scale.three_classes(np.where(known, values, 0))
        return np.where(known, classes, np.nan).reshape(-1, 1)

    def measure(self, truth: np.ndarray, answers: np.ndarray, warn: bool = True) -> Metrics:
        """Acc-3 and weighted F1."""
        true, said = truth[:, 0], answers[:, 0]
        return {"acc3": accuracy(true, said), "f1": weighted_f1(true, said)}

    def references(self, truth: np.ndarray) -> dict[str, Metrics]:
        """The most frequent class, and that of the median clip."""
        classes = truth[:, 0].astype(int)
        median = np.sort(classes)[(len(classes) - 1) // 2]
        answers = {"majority class": most_frequent(classes), "median score": median}
        return {row: self._constant(truth, answer) for row, answer in answers.items()}

    def sums(self, truth: np.ndarray, answers: np.ndarray) -> dict[str, Sums]:
        true, said = truth[:, 0].astype(int), answers[:, 0].astype(int)
        every = np.ones(len(true))
        return {
            "acc3": sums.mean(true == said, every),
            "f1": sums.weighted_f1(true, said, every),
        }
