"""The features' health: channels that are not numbers, never move or run away, and their norms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup

from model.report.context import ReportContext, Section
from pipeline.errors import DamagedError
from pipeline.html import charts
from pipeline.messages import listed
from pipeline.stage.result import OK
from pipeline.store.stage_view import StageView
from pipeline.weights.random_weights import RANDOM_MARK

EXPLODING = 1000.0  # times what the stage's median channel reaches
HUGE = 1e6  # whatever the others reach
BINS = 20
LEAST_SPREAD = 0.02  # of a histogram, of the median: what differs less is alike
NAMED = 12  # channels listed by number


@dataclass
class Channels:
    """Running sums over the real steps of every clip, by channel; memory is one partition's.

    lowest, highest: of finite values [width]. lacking: how many values are not finite [width].
    norms: the mean length of each clip's step vectors.
    """

    width: int
    clips: int = 0
    steps: int = 0
    norms: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lowest = np.full(self.width, np.inf)
        self.highest = np.full(self.width, -np.inf)
        self.lacking = np.zeros(self.width, np.int64)

    def add(self, clips: Sequence[np.ndarray]) -> None:
        """Some clips' features, each float32 [length, width]."""
        lengths = np.array([len(features) for features in clips if len(features)])
        self.clips += len(clips)
        if not len(lengths):
            return
        values = np.concatenate(clips, dtype=np.float64)
        finite = np.isfinite(values)
        self.steps += len(values)
        self.lacking += (~finite).sum(axis=0)
        known = values if finite.all() else np.where(finite, values, np.nan)
        self.lowest = np.fmin(self.lowest, np.fmin.reduce(known, axis=0))
        self.highest = np.fmax(self.highest, np.fmax.reduce(known, axis=0))
        norms = (
            np.add.reduceat(np.linalg.norm(values, axis=1), np.cumsum(lengths) - lengths) / lengths
        )
        self.norms += norms[np.isfinite(norms)].tolist()

    @property
    def nan(self) -> list[int]:
        """Channels with a value that is NaN or infinite."""
        return np.flatnonzero(self.lacking).tolist()

    @property
    def constant(self) -> list[int]:
        """Channels that have one and the same value in every step of every clip."""
        return np.flatnonzero(self.lowest == self.highest).tolist() if self.steps > 1 else []

    @property
    def exploding(self) -> list[int]:
        """Channels that reach EXPLODING times as far from 0 as the median one, or HUGE."""
        seen = np.isfinite(self.lowest)
        reach = np.where(seen, np.maximum(np.abs(self.lowest), np.abs(self.highest)), 0.0)
        moving = reach[reach > 0]
        limit = min(HUGE, EXPLODING * float(np.median(moving))) if len(moving) else HUGE
        return np.flatnonzero(reach > limit).tolist()


@dataclass(frozen=True)
class StageHealth:
    """One stage. damage: why it could not be read to its end; channels: as far as it was read.
    random_weights: the stages with such weights on which its features rest.
    """

    stage: str
    channels: Channels
    damage: str = ""
    random_weights: Sequence[str] = ()

    @property
    def findings(self) -> list[tuple[str, str]]:
        """What is wrong, and which channels it is."""
        kinds = {
            "NaN or infinite": self.channels.nan,
            "constant": self.channels.constant,
            "exploding": self.channels.exploding,
        }
        return [(name, listed(numbers, NAMED)) for name, numbers in kinds.items() if numbers]


@dataclass(frozen=True)
class Health:
    """stages: those with a feature vector a step. histograms: of their norms."""

    stages: Sequence[StageHealth]
    histograms: Sequence[Markup]
    extract: str

    @property
    def is_sound(self) -> bool:
        """Whether there is nothing to tell."""
        return not any(stage.findings or stage.damage for stage in self.stages)


def section(context: ReportContext) -> Section:
    """Read every feature once, partition by partition."""
    ready = [s.stage for s in context.stages if s.width is not None and s.counts[OK]]
    views = [context.view(stage) for stage in ready]
    stages = [examine(view) for view in views if view is not None]
    norms = [_norms(stage) for stage in stages if stage.channels.norms]
    return Section("health", "Feature health", Health(stages, norms, context.command("extract")))


def examine(view: StageView) -> StageHealth:
    """Read every feature of a stage once; what is damaged ends the reading."""
    name, declared = next(iter(view.store.fields.items()))
    channels = Channels(int(declared.axes[1]))
    try:
        for clips in _features(view, name):
            channels.add(clips)
    except DamagedError as error:
        return StageHealth(view.name, channels, str(error), view.random_weights)
    return StageHealth(view.name, channels, "", view.random_weights)


def _features(view: StageView, field: str) -> Iterator[list[np.ndarray]]:
    """By partition, the first field of each clip that has one, float32 [length, width]."""
    size, states = view.store.partition, view.committed
    for partition, commit in sorted(view.commits.items()):
        numbers = range(partition * size, partition * size + len(commit.rows))
        wanted = {n for n in numbers if n in states and states[n].state == OK}
        if wanted:
            results = zip(numbers, view.rows(partition, [field]), strict=True)
            yield [result.rows[field] for number, result in results if number in wanted]


def _norms(stage: StageHealth) -> Markup:
    norms = stage.channels.norms
    median = float(np.median(norms))
    margin = max(0.0, LEAST_SPREAD * median - (max(norms) - min(norms))) / 2
    counts, edges = np.histogram(norms, BINS, (min(norms) - margin, max(norms) + margin))
    summary = f"Median {median:.3g}, from {min(norms):.3g} to {max(norms):.3g}"
    name = f"{stage.stage} {RANDOM_MARK}" if stage.random_weights else stage.stage
    return charts.histogram(name, edges.tolist(), counts.tolist(), summary)
