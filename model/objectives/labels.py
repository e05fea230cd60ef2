"""Several labels at once: an output a label, the binary cross entropy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model.metrics import Metrics, most_frequent, weighted_f1
from model.objectives import prediction, sums
from model.objectives.objective import Column, Confusion, Objective, Row, Validated, column
from model.objectives.prediction import Prediction
from model.objectives.sums import Sums

ABSENT_PRESENT = ("absent", "present")


@dataclass(frozen=True, kw_only=True)
class Labels(Objective):
    """Several labels, each present or not: one with a score above 0 is present.

    As CMU-MOSEI reports its emotions (Zadeh et al., ACL 2018): of each the weighted accuracy, the
    mean of the recalls of absent and present (Tong et al., ACL 2017), and the F1 of both, weighted
    by how often each is true; and their means over the labels.
    """

    names: Sequence[str]

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple("class" for _ in self.names)

    @property
    def outputs(self) -> int:
        return len(self.names)

    @property
    def lead(self) -> str:
        return "wacc"

    def truth(self, values: np.ndarray) -> np.ndarray:
        return np.where(np.isfinite(values), values > 0, np.nan)

    def loss(self, outputs: Tensor, truth: Tensor) -> Tensor:
        """The binary cross entropy over what is known, 0 where nothing is."""
        known = ~truth.isnan()
        present = torch.where(known, truth, 0.0)
        errors = F.binary_cross_entropy_with_logits(outputs, present, reduction="none")
        return torch.where(known, errors, 0.0).sum() / known.sum().clamp(min=1)

    def predictions(self, outputs: Tensor) -> Tensor:
        """The probability of each label."""
        return outputs.sigmoid()

    def answers(self, predictions: np.ndarray) -> np.ndarray:
        return (predictions > 0.5).astype(np.int64)

    def measure(self, truth: np.ndarray, answers: np.ndarray, warn: bool = True) -> Metrics:
        # scikit-learn takes a second to import.
        from sklearn.metrics import recall_score

        found: dict[str, Metrics] = {}
        for name, true, said in self._known(truth, answers):
            recall = recall_score(
                true, said, labels=np.unique(true), average="macro", zero_division=0
            )
            found[name] = {"wacc": float(recall), "f1": weighted_f1(true, said)}
        means = {
            key: float(np.mean([own[key] for own in found.values()])) for key in ("wacc", "f1")
        }
        by_label = {f"{n}.{key}": value for n, own in found.items() for key, value in own.items()}
        return means | by_label

    def references(self, truth: np.ndarray) -> dict[str, Metrics]:
        """Each label as it is in most clips."""
        known = [column[np.isfinite(column)].astype(int) for column in truth.T]
        answers = np.tile([most_frequent(own) for own in known], (len(truth), 1))
        return {"majority class": self.measure(truth, answers)}

    def sums(self, truth: np.ndarray, answers: np.ndarray) -> dict[str, Sums]:
        is_known = np.isfinite(truth).T
        found: dict[str, Sums] = {}
        for known, (name, true, said) in zip(is_known, self._known(truth, answers), strict=True):
            every = np.ones(len(true))
            found[f"{name}.wacc"] = sums.among(sums.recall(true, said, every), known)
            found[f"{name}.f1"] = sums.among(sums.weighted_f1(true, said, every), known)
        of = {key: [found[f"{name}.{key}"] for name in self.names] for key in ("wacc", "f1")}
        return {key: sums.average(own) for key, own in of.items()} | found

    def _known(
        self, truth: np.ndarray, answers: np.ndarray
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Each label with truth and answers of the clips of which it is known."""
        for name, true, said in zip(self.names, truth.T, answers.T, strict=True):
            known = np.isfinite(true)
            yield name, true[known].astype(int), said[known].astype(int)

    def errors(self, truth: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """What probability a clip's true labels lack, the mean over those that are known."""
        known = np.isfinite(truth)
        off = np.where(known, np.abs(truth - predictions), 0).sum(1)
        return np.where(known.any(1), off / np.maximum(known.sum(1), 1), np.nan)

    @property
    def header(self) -> list[str]:
        known, shares = ([f"{of}_{n}" for n in self.names] for of in ("label", "p"))
        return ["label", "prediction", *known, *shares]

    def cells(self, truth: Sequence[float], predictions: Sequence[float]) -> list[object]:
        said = self.answers(np.array(predictions)).tolist()
        present = ["" if np.isnan(value) else int(value) for value in truth]
        return [self.told(truth), self.told(said), *present, *predictions]

    def read(self, rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
        truth = [column(rows, f"label_{name}") for name in self.names]
        shares = [column(rows, f"p_{name}") for name in self.names]
        return np.hstack(truth), np.hstack(shares)

    def said(
        self, predictions: np.ndarray, validated: Callable[[], Validated]
    ) -> Iterator[Prediction]:
        return prediction.of_labels(predictions, self.names)

    def told(self, truth: Sequence[float]) -> str:
        """The names of the labels that are present."""
        if all(np.isnan(value) for value in truth):
            return ""
        present = [name for name, value in zip(self.names, truth, strict=True) if value > 0]
        return " + ".join(present) or "none"

    def confusions(self, truth: np.ndarray, answers: np.ndarray) -> list[Confusion]:
        pairs = zip(self.names, truth.T, answers.T, strict=True)
        return [Confusion.of(name, ABSENT_PRESENT, true, said) for name, true, said in pairs]
