"""One of named classes: an output a class, the cross entropy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model.metrics import Metrics, accuracy, most_frequent, weighted_f1
from model.objectives import prediction, sums
from model.objectives.objective import Column, Confusion, Objective, Row, Validated
from model.objectives.prediction import Prediction
from model.objectives.sums import Sums

UNKNOWN = -1


@dataclass(frozen=True, kw_only=True)
class Classes(Objective):
    """One of several named classes, none of which is nearer to another.

    Accuracy, weighted F1 (the metric of MELD: Poria et al., 2019), macro F1, and UAR, the mean
    recall over the classes that are true (the unweighted accuracy of IEMOCAP's papers).
    """

    names: Sequence[str]

    @property
    def columns(self) -> tuple[Column, ...]:
        return ("class",)

    @property
    def outputs(self) -> int:
        return len(self.names)

    @property
    def lead(self) -> str:
        return "f1"

    def truth(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(-1, 1)

    def loss(self, outputs: Tensor, truth: Tensor) -> Tensor:
        """The cross entropy over what is known, 0 where nothing is."""
        known = ~truth[:, 0].isnan()
        classes = torch.where(known, truth[:, 0], UNKNOWN).long()
        total = F.cross_entropy(outputs, classes, ignore_index=UNKNOWN, reduction="sum")
        return total / known.sum().clamp(min=1)

    def predictions(self, outputs: Tensor) -> Tensor:
        """The softmax (eq. 23)."""
        return outputs.softmax(-1)

    def answers(self, predictions: np.ndarray) -> np.ndarray:
        return predictions.argmax(-1)[:, None]

    def measure(self, truth: np.ndarray, answers: np.ndarray, warn: bool = True) -> Metrics:
        # scikit-learn takes a second to import.
        from sklearn.metrics import f1_score, recall_score

        true, said = truth[:, 0].astype(int), answers[:, 0].astype(int)
        present, of = np.unique(true), {"average": "macro", "zero_division": 0}
        return {
            "acc": accuracy(true, said),
            "f1": weighted_f1(true, said),
            "f1_macro": float(f1_score(true, said, **of)),
            "uar": float(recall_score(true, said, labels=present, **of)),
        }

    def references(self, truth: np.ndarray) -> dict[str, Metrics]:
        """That of the most frequent class."""
        return {"majority class": self._constant(truth, most_frequent(truth[:, 0].astype(int)))}

    def _constant(self, truth: np.ndarray, answer: int) -> Metrics:
        return self.measure(truth, np.full_like(truth, answer))

    def sums(self, truth: np.ndarray, answers: np.ndarray) -> dict[str, Sums]:
        true, said = truth[:, 0].astype(int), answers[:, 0].astype(int)
        every = np.ones(len(true))
        return {
            "acc": sums.mean(true == said, every),
            "f1": sums.weighted_f1(true, said, every),
            "f1_macro": sums.macro_f1(true, said, every),
            "uar": sums.recall(true, said, every),
        }

    def errors(self, truth: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """What probability a clip's true class lacks."""
        known = np.isfinite(truth[:, 0])
        own = np.where(known, truth[:, 0], 0).astype(int)
        return np.where(known, 1 - predictions[np.arange(len(own)), own], np.nan)

    @property
    def header(self) -> list[str]:
        return ["label", "prediction", *self._shares]

    @property
    def _shares(self) -> Sequence[str]:
        """The columns of probabilities: a class may be called as any other column is."""
        return [f"p_{name}" for name in self.names]

    def cells(self, truth: Sequence[float], predictions: Sequence[float]) -> list[object]:
        return [self.told(truth), self.names[int(np.argmax(predictions))], *predictions]

    def read(self, rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
        numbers = {name: float(number) for number, name in enumerate(self.names)} | {"": np.nan}
        truth = np.array([[numbers[row["label"]]] for row in rows])
        shares = [[float(row[name]) for name in self._shares] for row in rows]
        return truth.reshape(-1, 1), np.array(shares).reshape(-1, len(self.names))

    def said(
        self, predictions: np.ndarray, validated: Callable[[], Validated]
    ) -> Iterator[Prediction]:
        return prediction.of_classes(predictions, self.names)

    def told(self, truth: Sequence[float]) -> str:
        return "" if np.isnan(truth[0]) else self.names[int(truth[0])]

    def confusions(self, truth: np.ndarray, answers: np.ndarray) -> list[Confusion]:
        return [Confusion.of(self.name, self.names, truth[:, 0], answers[:, 0])]
