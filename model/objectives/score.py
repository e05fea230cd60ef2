"""A score: one output, the mean absolute error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model import metrics
from model.metrics import Metrics, Scale
from model.objectives import prediction, sums
from model.objectives.objective import (
    Column,
    Confusion,
    Objective,
    Row,
    Scores,
    Validated,
    column,
)
from model.objectives.prediction import Prediction
from model.objectives.sums import Sums
from pipeline.html.numbers import plain

BINS = {7: ("−3", "−2", "−1", "0", "1", "2", "3"), 5: ("− −", "−", "0", "+", "+ +")}


@dataclass(frozen=True, kw_only=True)
class Score(Objective):
    """A number on a scale, with the metrics that the scale has."""

    scale: Scale

    @property
    def columns(self) -> tuple[Column, ...]:
        return ("score",)

    @property
    def outputs(self) -> int:
        return 1

    @property
    def lead(self) -> str:
        return "mae"

    def truth(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(-1, 1)

    def loss(self, outputs: Tensor, truth: Tensor) -> Tensor:
        """The mean absolute error over what is known, 0 where nothing is."""
        known = ~truth.isnan()
        errors = (outputs - torch.where(known, truth, outputs)).abs()
        return errors.sum() / known.sum().clamp(min=1)

    def predictions(self, outputs: Tensor) -> Tensor:
        return outputs

    def answers(self, predictions: np.ndarray) -> np.ndarray:
        return predictions

    def measure(self, truth: np.ndarray, answers: np.ndarray, warn: bool = True) -> Metrics:
        return metrics.regression(truth[:, 0], answers[:, 0], self.scale, warn)

    def references(self, truth: np.ndarray) -> dict[str, Metrics]:
        return metrics.regression_references(truth[:, 0], self.scale)

    def sums(self, truth: np.ndarray, answers: np.ndarray) -> dict[str, Sums]:
        scale = self.scale
        x, y = truth[:, 0], answers[:, 0].astype(np.float64)
        if scale.is_clipped:
            x, y = (np.clip(values, scale.low, scale.high) for values in (x, y))
        made = {"mae": sums.mean(np.abs(x - y), np.ones(len(x))), "corr": sums.correlation(x, y)}
        if not scale.accuracies:
            made["ccc"] = sums.concordance(x, y)
        binned = {}
        for key in scale.accuracies:
            kept, *classes = metrics.classes_of(key, x, y, scale)
            binned[key] = (*classes, kept.astype(np.float64))
            made[key] = sums.mean((classes[0] == classes[1]) & kept, kept)
        return made | {key: sums.weighted_f1(*binned[of]) for key, of in scale.f1s.items()}

    def errors(self, truth: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        return np.abs(truth - predictions)[:, 0]

    @property
    def header(self) -> list[str]:
        return ["label", "prediction"]

    def cells(self, truth: Sequence[float], predictions: Sequence[float]) -> list[object]:
        return ["" if np.isnan(truth[0]) else truth[0], predictions[0]]

    def read(self, rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
        return column(rows, "label"), column(rows, "prediction")

    def said(
        self, predictions: np.ndarray, validated: Callable[[], Validated]
    ) -> Iterator[Prediction]:
        if not self.scale.finest:
            return iter([Prediction("", score=score) for score in predictions[:, 0].tolist()])
        known = validated()
        off = (known.truth - known.answers)[:, 0]
        return prediction.of_scores(predictions[:, 0], off[np.isfinite(off)], self.scale)

    def told(self, truth: Sequence[float]) -> str:
        return plain(truth[0])

    def scores(self, truth: np.ndarray, answers: np.ndarray) -> list[Scores]:
        ends = self.scale.low, self.scale.high
        return [Scores(self.name, *ends, truth[:, 0], answers[:, 0])]

    def confusions(self, truth: np.ndarray, answers: np.ndarray) -> list[Confusion]:
        """By the classes of the scale's finest accuracy."""
        if not self.scale.finest:
            return []
        low, high = self.scale.low, self.scale.high
        binned = self.scale.accuracies[self.scale.finest]
        lowest, highest = (int(binned(np.array([end]))[0]) for end in (low, high))
        true, predicted = (binned(np.clip(x[:, 0], low, high)) - lowest for x in (truth, answers))
        return [Confusion.of(self.name, BINS[highest - lowest + 1], true, predicted)]
