"""Curves of the score: over the share of training clips, what is missing, and noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from math import ceil, isfinite
from pathlib import Path
from statistics import fmean, stdev

import numpy as np

from model.data.missing import ANY, STEPS, Missing
from model.data.samples import Samples
from model.experiments.experiment import RECORDS
from model.experiments.records import Records, Result
from model.experiments.trainings import Condition, Entry, Show, run
from model.metrics import Metrics
from model.objectives.choose import objective_of
from model.objectives.objective import Objective
from model.robustness.noise import NONE, Noisy
from model.training.presets import Preset
from model.training.probe import linear_probes
from model.training.settings import TrainSettings
from pipeline.errors import UserError

CLIPS, AT_TEST, AT_TRAINING, NOISE = "clips", "test", "training", "noise"
KINDS = (CLIPS, AT_TEST, AT_TRAINING, NOISE)
OF_CLIPS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
LOST = tuple(k / 10 for k in range(10))
LOST_AT_TRAINING = (0.0, 0.3, 0.6, 0.9)  # each is a training a seed
WHOLE = "all clips"
SEED = 20


@dataclass(frozen=True)
class Curve:
    """The score over a share. kind: of KINDS; what: is missing, empty for CLIPS.

    For NOISE it is over levels, in the unit that `what` tells, from clean clips on; those have an
    SNR of infinity. points: by share, the metrics of each seed. probe: by share, those of the
    linear probe.
    """

    kind: str
    what: str
    points: Mapping[float, Sequence[Metrics]]
    probe: Mapping[float, Metrics]

    def means(self, key: str) -> list[float]:
        """Of a metric over the seeds, share by share."""
        return [fmean(one[key] for one in seeds) for seeds in self.points.values()]

    def deviations(self, key: str) -> list[float]:
        """The sample standard deviations; nan for one seed."""
        of_each = [[one[key] for one in seeds] for seeds in self.points.values()]
        return [stdev(values) if len(values) > 1 else float("nan") for values in of_each]

    def area(self, key: str) -> float:
        """Under the curve, by trapezes (TFR-Net's AUILC, over the shares measured).

        Of NOISE, whose units differ, as if its finite levels went from 0 to 1: nan for one level.
        """
        points = [(x, y) for x, y in zip(self.points, self.means(key), strict=True) if isfinite(x)]
        area = sum((a + b) / 2 * (y - x) for (x, a), (y, b) in pairwise(points))
        if self.kind != NOISE:
            return area
        width = points[-1][0] - points[0][0]
        return area / width if width else float("nan")


@dataclass(frozen=True)
class Robustness:
    """Everything that was measured. references: rows to compare with, on the whole test split."""

    name: str
    preset: Preset
    settings: TrainSettings
    curves: Sequence[Curve]
    references: Mapping[str, Metrics]
    clips: Mapping[str, int]
    seeds: Sequence[int]
    trained: int
    notes: Sequence[str]


@dataclass(frozen=True)
class _Planned:
    """A curve to be. entries: by share, the label of a training, and what loads its samples.
    conditions: by share, what is done to the test clips, where the training has them as they are.
    """

    kind: str
    what: str
    entries: Mapping[float, tuple[str, Callable[[], Samples]]]
    conditions: Mapping[float, Condition] = field(default_factory=dict)

    def curve(self, done: Mapping[str, Sequence[Result]], objective: Objective) -> Curve:
        points = {
            share: [
                one.under[str(self.conditions[share])] if share in self.conditions else one.test
                for one in done[label]
            ]
            for share, (label, _) in self.entries.items()
        }
        loads = {share: load for share, (_, load) in self.entries.items() if self.kind == CLIPS}
        probe = {
            share: list(linear_probes(load(), objective).values())[-1].metrics
            for share, load in loads.items()
        }
        return Curve(self.kind, self.what, points, probe)


def robustness(
    samples: Samples,
    preset: Preset,
    settings: TrainSettings,
    kinds: Sequence[str],
    seeds: Sequence[int],
    runs: Path,
    show: Show = lambda done, text: None,
    noisy: Sequence[Noisy] = (),
    notes: Sequence[str] = (),
) -> Robustness:
    """The curves of `kinds` for one model; trainings that have a record in `runs` are not repeated.

    show: told which share of the trainings is done, and what is under way. noisy: the test clips of
    the curves of NOISE; there are none without. notes: to go with those of the samples.
    Raises UserError where there is no test split, or where a training fails.
    """
    if samples.judged != "test":
        raise UserError(f"{samples.name}: the test split has no labelled clip to measure on")
    planned = [*_plan(samples, kinds), *_plan_of(noisy, samples)]
    loads = {WHOLE: lambda: samples} | {
        label: load for own in planned for label, load in own.entries.values()
    }
    entries = [Entry(label, load, settings, preset) for label, load in loads.items()]
    conditions = [one for own in planned for one in own.conditions.values()]
    entries[0] = replace(entries[0], conditions=conditions)
    total = len(entries) * len(seeds)
    records = Records(runs / RECORDS)
    found = run(entries, seeds, records, lambda done, text: show(done / total, text))
    for outcome in found:
        if outcome.error:
            raise UserError(f"{outcome.entry.label}: {outcome.error}")
    objective = objective_of(samples.targets, settings.task, settings.target_weights)
    done = {outcome.entry.label: list(outcome.results.values()) for outcome in found}
    return Robustness(
        name=samples.name,
        preset=preset,
        settings=settings,
        curves=[own.curve(done, objective) for own in planned],
        references=done[WHOLE][0].references,
        clips={split: counts["clips"] for split, counts in samples.table().items()},
        seeds=seeds,
        trained=sum(len(outcome.trained) for outcome in found),
        notes=(*samples.notes, *notes),
    )


def _plan(samples: Samples, kinds: Sequence[str]) -> Iterator[_Planned]:
    whole = (WHOLE, lambda: samples)
    if CLIPS in kinds:
        parts = {s: (f"{s:.0%} of the training clips", partial(part, samples, s)) for s in OF_CLIPS}
        yield _Planned(CLIPS, "", {**parts, 1.0: whole})
    is_one = len(samples.batch.widths) == 1
    for what in (STEPS,) if is_one else (*samples.batch.widths, ANY, STEPS):
        lost = {share: Missing(what, share) for share in LOST}
        if AT_TEST in kinds:
            yield _Planned(AT_TEST, what, dict.fromkeys(LOST, whole), lost)
        if AT_TRAINING in kinds and what in (ANY, STEPS):
            told = {s: f"{s:.0%} of {what} missing at training" for s in LOST_AT_TRAINING}
            entries = {s: (told[s], partial(without, samples, lost[s])) for s in told}
            yield _Planned(AT_TRAINING, what, {**entries, 0.0: whole})


def _plan_of(noisy: Sequence[Noisy], samples: Samples) -> Iterator[_Planned]:
    whole = (WHOLE, lambda: samples)
    for setting in dict.fromkeys(one.setting for one in noisy):
        own = {one.level: one for one in noisy if one.setting == setting}
        what = next(iter(own.values())).what
        yield _Planned(NOISE, what, dict.fromkeys((NONE[setting], *own), whole), own)


def part(samples: Samples, share: float) -> Samples:
    """A share of the training clips, drawn at random; a larger one has those of a smaller."""
    rows = np.flatnonzero(samples.splits == "train")
    order = np.random.default_rng(SEED).permutation(rows)
    kept = samples.splits != "train"
    kept[order[: max(1, ceil(share * len(rows)))]] = True
    return samples.only(kept)


def without(samples: Samples, missing: Missing) -> Samples:
    """All clips, of every split, without what is missing."""
    return replace(samples, batch=missing.of(samples.batch))
