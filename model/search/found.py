"""What a search may cost, and what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any

from model.metrics import sign
from model.search.study import Tried
from model.training.presets import Preset
from model.training.settings import TrainSettings
from model.training.space import Space


@dataclass(frozen=True)
class Budget:
    """trials: at most so many. seconds: of all calls; no trial begins, or goes on, after that."""

    trials: int
    seconds: float = inf

    @property
    def within(self) -> str:
        """How long it may take, in words; empty where there is no limit."""
        return "" if self.seconds == inf else f" within {self.seconds / 60:g} minutes"

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Budget:
        """What a command was given as `trials` and `budget`."""
        return cls(options["trials"], options["budget"] or inf)


@dataclass(frozen=True)
class Finalist:
    """A trial with what each of several seeds came to."""

    tried: Tried
    by_seed: Sequence[float]

    @property
    def value(self) -> float:
        return fmean(self.by_seed)


@dataclass(frozen=True)
class Found:
    """What a search found. settings: those of the best of `finalists`, which come best first.

    lead: the metric of validation that it went by. folder: where it is kept.
    """

    name: str
    preset: Preset
    settings: TrainSettings
    space: Space
    lead: str
    budget: Budget
    tried: Sequence[Tried]
    finalists: Sequence[Finalist]
    importance: Mapping[str, float]
    seconds: float
    folder: Path

    @property
    def lower_is_better(self) -> bool:
        return sign(self.lead) < 0
