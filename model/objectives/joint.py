"""Several targets learnt together by one network: the weighted sum of their losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from model.metrics import Metrics
from model.objectives import sums
from model.objectives.objective import Column, Confusion, Objective, Row, Scores, Validated
from model.objectives.prediction import Prediction
from model.objectives.sums import Sums

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Joint(Objective):
    """Targets side by side: their columns, and their outputs, one after another.

    weights: of each part's loss in the sum of them. A part is measured on the clips of which
    anything of it is known; its metrics are called after it, as `emotion.f1`.
    """

    parts: Sequence[Objective]
    weights: Sequence[float]

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(chain.from_iterable(part.columns for part in self.parts))

    @property
    def outputs(self) -> int:
        return sum(part.outputs for part in self.parts)

    @property
    def lead(self) -> str:
        """That of the first."""
        return f"{self.parts[0].name}.{self.parts[0].lead}"

    @property
    def _columns(self) -> list[slice]:
        return _slices([len(part.columns) for part in self.parts])

    @property
    def _outputs(self) -> list[slice]:
        return _slices([part.outputs for part in self.parts])

    def truth(self, values: np.ndarray) -> np.ndarray:
        own = zip(self.parts, self._columns, strict=True)
        return np.hstack([part.truth(values[:, columns]) for part, columns in own])

    def loss(self, outputs: Tensor, truth: Tensor) -> Tensor:
        own = zip(self.parts, self.weights, self._outputs, self._columns, strict=True)
        losses = [w * part.loss(outputs[:, o], truth[:, c]) for part, w, o, c in own]
        return torch.stack(losses).sum()

    def predictions(self, outputs: Tensor) -> Tensor:
        own = zip(self.parts, self._outputs, strict=True)
        return torch.cat([part.predictions(outputs[:, o]) for part, o in own], dim=1)

    def answers(self, predictions: np.ndarray) -> np.ndarray:
        own = zip(self.parts, self._outputs, strict=True)
        return np.hstack([part.answers(predictions[:, o]) for part, o in own])

    def measure(self, truth: np.ndarray, answers: np.ndarray, warn: bool = True) -> Metrics:
        own = self._own(truth, answers)
        return self._named(part.measure(true, said, warn) for part, true, said in own)

    def references(self, truth: np.ndarray) -> dict[str, Metrics]:
        """Rows of a name are one, with the metrics of the parts that have it."""
        found = [part.references(truth[known][:, c]) for part, known, c in self._known(truth)]
        names = dict.fromkeys(chain.from_iterable(found))
        return {name: self._named(own.get(name, {}) for own in found) for name in names}

    def sums(self, truth: np.ndarray, answers: np.ndarray) -> dict[str, Sums]:
        return self._named(
            {
                key: sums.among(own, known)
                for key, own in part.sums(truth[known][:, c], answers[known][:, c]).items()
            }
            for part, known, c in self._known(truth)
        )

    def _known(self, truth: np.ndarray) -> Iterator[tuple[Objective, np.ndarray, slice]]:
        """Each part with the clips of which anything of it is known, and its columns."""
        for part, columns in zip(self.parts, self._columns, strict=True):
            yield part, np.isfinite(truth[:, columns]).any(axis=1), columns

    def _own(
        self, truth: np.ndarray, answers: np.ndarray
    ) -> Iterator[tuple[Objective, np.ndarray, np.ndarray]]:
        """Each part with its own truth and answers of these clips."""
        for part, known, columns in self._known(truth):
            yield part, truth[known][:, columns], answers[known][:, columns]

    def _named(self, found: Iterator[Mapping[str, Value]]) -> dict[str, Value]:
        own = zip(self.parts, found, strict=True)
        return {f"{part.name}.{key}": v for part, values in own for key, v in values.items()}

    def errors(self, truth: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """The mean of those of the parts, each as a share of its largest."""
        own = zip(self.parts, self._columns, self._outputs, strict=True)
        found = np.array([part.errors(truth[:, c], predictions[:, o]) for part, c, o in own])
        largest = np.nanmax(found, axis=1, keepdims=True, initial=1e-12)
        known = np.isfinite(found)
        total = np.where(known, found / largest, 0).sum(0)
        return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)

    @property
    def header(self) -> list[str]:
        return [f"{part.name}.{name}" for part in self.parts for name in part.header]

    def cells(self, truth: Sequence[float], predictions: Sequence[float]) -> list[object]:
        own = zip(self.parts, self._columns, self._outputs, strict=True)
        return [cell for part, c, o in own for cell in part.cells(truth[c], predictions[o])]

    def read(self, rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
        found = [part.read([_of(part, row) for row in rows]) for part in self.parts]
        truth, predictions = (np.hstack(both) for both in zip(*found, strict=True))
        return truth, predictions

    def said(
        self, predictions: np.ndarray, validated: Callable[[], Validated]
    ) -> Iterator[Prediction]:
        def of(columns: slice) -> Validated:
            whole = validated()
            return Validated(whole.truth[:, columns], whole.answers[:, columns])

        own = zip(self.parts, self._outputs, self._columns, strict=True)
        found = [
            list(part.said(predictions[:, o], lambda c=c: of(c)))  # type: ignore[misc]
            for part, o, c in own
        ]
        for first, *others in zip(*found, strict=True):
            named = {part.name: one for part, one in zip(self.parts[1:], others, strict=True)}
            yield replace(first, others=named)

    def told(self, truth: Sequence[float]) -> str:
        own = zip(self.parts, self._columns, strict=True)
        return "; ".join(part.told(truth[columns]) or "–" for part, columns in own)

    def confusions(self, truth: np.ndarray, answers: np.ndarray) -> list[Confusion]:
        own = self._own(truth, answers)
        return [one for part, true, said in own for one in part.confusions(true, said)]

    def scores(self, truth: np.ndarray, answers: np.ndarray) -> list[Scores]:
        own = self._own(truth, answers)
        return [one for part, true, said in own for one in part.scores(true, said)]


def _slices(sizes: Sequence[int]) -> list[slice]:
    ends = list(accumulate(sizes))
    return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _of(part: Objective, row: Row) -> Row:
    """The columns of one part, under the names that it has by itself."""
    return {name: row[f"{part.name}.{name}"] for name in part.header}
