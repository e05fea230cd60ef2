"""The trainings behind a table: those that have no record yet are done, one entry at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from model.data.batch import Batch
from model.data.samples import Samples
from model.experiments.identity import digest_of, identity
from model.experiments.records import Records, Result
from model.training.loop import Trained, in_columns
from model.training.presets import Preset
from model.training.seeds import OnEpoch, train_seeds
from model.training.settings import TrainSettings
from pipeline.errors import DamagedError, UserError

Show = Callable[[float, str], None]


class Condition(Protocol):
    """What is done to test clips. As a text it tells all that the result depends on."""

    def of(self, batch: Batch) -> Batch:
        """The clips under it."""

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Entry:
    """A row to be: one model on one choice of features, trained once a seed.

    load: gives the samples, when the entry's turn comes. group: rows to be ranked together.
    conditions: under which the test clips are measured too.
    """

    label: str
    load: Callable[[], Samples]
    settings: TrainSettings
    preset: Preset
    group: str = ""
    conditions: Sequence[Condition] = ()


@dataclass
class EntryOutcome:
    """An entry's results by seed. trained: the seeds that had no record. error: why it failed.

    damaged: what is wrong with records that there are but that were not believed.
    splits: how many clips it has, and how many of them are left out, as `Samples.table` counts.
    test: the ids of its test clips.
    """

    entry: Entry
    random_stages: Sequence[str] = ()
    splits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    test: Sequence[str] = ()
    results: dict[int, Result] = field(default_factory=dict)
    trained: list[int] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """The entry for programs, without its metrics."""
        entry = self.entry
        return {
            "label": entry.label,
            "model": entry.settings.model,
            "preset": entry.preset.to_json(entry.settings),
            "settings": entry.settings.model_dump(exclude={"seed"}),
            "random_stages": list(self.random_stages),
            "splits": self.splits,
            "trained": self.trained,
            "reused": [seed for seed in self.results if seed not in self.trained],
            **({"error": self.error} if self.error else {}),
        }


def run(
    entries: Sequence[Entry],
    seeds: Sequence[int],
    records: Records,
    show: Show = lambda done, text: None,
) -> list[EntryOutcome]:
    """Every entry at every seed. A training that fails by its settings costs its own entry.

    show: told how many trainings are done, with fractions of the one under way, and what it is.
    """
    outcomes = []
    for number, entry in enumerate(entries):
        outcome = EntryOutcome(entry)
        outcomes.append(outcome)
        try:
            _run_entry(outcome, seeds, records, show, done=number * len(seeds))
        except UserError as error:
            outcome.error = str(error)
    return outcomes


def _run_entry(
    outcome: EntryOutcome, seeds: Sequence[int], records: Records, show: Show, done: int
) -> None:
    entry, settings = outcome.entry, outcome.entry.settings
    samples = entry.load()
    outcome.random_stages, outcome.splits = samples.random_stages, samples.table()
    outcome.test = [samples.ids[row] for row in np.flatnonzero(samples.splits == "test").tolist()]
    digest = digest_of(samples)
    conditions = {"conditions": [str(one) for one in entry.conditions]} if entry.conditions else {}
    names = {seed: {**identity(samples, digest, settings, seed), **conditions} for seed in seeds}
    kept: dict[int, Result] = {}
    for seed, name in names.items():
        try:
            if result := records.read(name):
                kept[seed] = result
        except DamagedError as error:
            outcome.damaged.append(str(error))
    missing = [seed for seed in seeds if seed not in kept]

    def record(seed: int, result: Result) -> None:
        kept[seed] = result
        records.write(names[seed], result)
        outcome.trained.append(seed)

    if missing:
        watch = _watch(entry, missing, done + len(kept), show)
        keep = partial(_kept, samples=samples, entry=entry)
        train_seeds(samples, settings, missing, keep, watch, record)
    outcome.trained.sort()
    outcome.results = {seed: kept[seed] for seed in seeds}


def _kept(trained: Trained, samples: Samples, entry: Entry) -> Result:
    """The result, with what the model reaches under each condition."""
    if not entry.conditions:
        return Result.of(trained)
    test, objective, under = samples.split("test"), trained.predictor.objective, {}
    truth = objective.truth(test.labels)
    for condition in entry.conditions:
        predicted = in_columns(trained.predictor.predict(condition.of(test.batch)))
        under[str(condition)] = objective.measure(truth, objective.answers(predicted), warn=False)
    return replace(Result.of(trained), under=under)


def _watch(entry: Entry, seeds: Sequence[int], done: int, show: Show) -> OnEpoch:
    """What trainings of `seeds` are given to tell their epochs to. done: trainings before them."""
    epochs = dict.fromkeys(seeds, 0.0)

    def on_epoch(seed: int, row: dict[str, float]) -> None:
        epochs[seed] = row["epoch"]
        share = sum(epochs.values()) / entry.settings.epochs
        show(done + share, f"{entry.label}, seed {seed}: validation loss {row['valid_loss']:.3f}")

    return on_epoch
