"""An experiment: its trainings done or found, its table made and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model.data.samples import Samples
from model.experiments import folder
from model.experiments.bootstrap import RESAMPLES, Answers
from model.experiments.records import Records
from model.experiments.result import ExperimentResult
from model.experiments.significance import with_significance
from model.experiments.table import (
    CONSTANT,
    LEVEL,
    NO_BETTER,
    NOT_SIGNIFICANT,
    PROBE,
    REFERENCE,
    Row,
    Table,
)  # fmt: skip
from model.experiments.trainings import Entry, EntryOutcome, Show, run
from model.metrics import Metrics, ordered, title
from model.objectives.choose import objective_of
from model.training.probe import Probe, linear_probes
from model.training.settings import TrainSettings
from pipeline.errors import UserError
from pipeline.weights.random_weights import RANDOM_MARK, random_note

RECORDS = "trained"
SELECTION = (
    "The model and the epoch of each training were selected on the validation split alone; the "
    "test split was read once per training, after that."
)
REFERENCES = "{}: the best that any single answer for all clips reaches on these test labels."
PROBES = (
    "linear probe: ridge (for classes: logistic) regression on the mean and deviation of each "
    "clip's steps, its penalty chosen on validation. A model that is no better learnt no more."
)
SIGNIFICANCE = (
    f"{NOT_SIGNIFICANT}: the best of the column is not significantly better (p ≥ {LEVEL}; paired "
    f"bootstrap over test clips and seeds, {RESAMPLES:,} resamples, Holm over the rows). 95 % "
    "intervals and p values: summary.csv."
)
MARKED_NO_BETTER = (
    f"Marked {NO_BETTER}: not significantly better than the joint linear probe by {{}}."
)
MARKED_CONSTANT = (
    f"Marked {CONSTANT}: accuracies and F1, of a seed at least, are exactly those of such a row."
)


@dataclass(frozen=True)
class Experiment:
    """What is to be compared. name: of its folder. published: the paper's rows, of `source`."""

    name: str
    title: str
    entries: Sequence[Entry]
    published: Sequence[Row] = ()
    source: str = ""
    notes: Sequence[str] = ()


def name_of(samples: Samples, *parts: str) -> str:
    """Of an experiment on `samples`: its parts, the target, and the stages that were asked for."""
    asked = [f"{modality}-{'+'.join(own) or 'none'}" for modality, own in samples.chosen.items()]
    return "-".join(filter(None, [*parts, samples.target, *asked]))


def task_of(samples: Samples, settings: TrainSettings) -> str:
    """What is predicted of scores, empty where no target is one."""
    return settings.task if any(target.kind == "score" for target in samples.targets) else ""


def conduct(
    experiment: Experiment,
    samples: Samples,
    seeds: Sequence[int],
    runs: Path,
    out: Path | None = None,
    show: Show = lambda done, text: None,
) -> ExperimentResult:
    """Train what has no record in `runs` yet, make the table and write it.

    Written to `out`, by default `runs/<dataset>-<experiment>`: `seeds.csv`, `summary.csv`,
    `table.md`, `table.tex` and `experiment.json`. Raises UserError where there is no test split, or
    where every entry failed.
    """
    if samples.judged != "test":
        raise UserError(
            f"{samples.name}: the test split has no labelled clip, so models can't be compared; "
            "`smp train` and `smp tune` do without one"
        )
    outcomes = run(experiment.entries, seeds, Records(runs / RECORDS), show)
    if all(outcome.error for outcome in outcomes):
        raise UserError(outcomes[0].error)
    table = _table(experiment, samples, outcomes)
    report = ExperimentResult(table, outcomes, out or runs / f"{samples.name}-{experiment.name}")
    folder.write(report, samples)
    return report


def _table(experiment: Experiment, samples: Samples, outcomes: Sequence[EntryOutcome]) -> Table:
    done = [outcome for outcome in outcomes if outcome.results]
    random = sorted({stage for outcome in done for stage in outcome.random_stages})
    rows = [_row(outcome) for outcome in done]
    most = max(done, key=_test_clips)  # the references are of its clips
    first = next(iter(most.results.values()))
    settings = done[0].entry.settings
    objective = objective_of(samples.targets, settings.task, settings.target_weights)
    probes = linear_probes(samples, objective)
    of_probes = _rows({name: probe.metrics for name, probe in probes.items()}, PROBE)
    references = _rows(first.references, REFERENCE)
    clips = samples.table()["test"]["clips"]
    of = "scores of " * bool(task_of(samples, settings)) + samples.target
    told = f" for {of}" if samples.target else ""
    table = Table(
        title=f"{samples.name}: {experiment.title}{told}; {clips} test clips; numbers × 100",
        columns=ordered(first.test),
        rows=[*rows, *of_probes, *references, *experiment.published],
    )
    test = np.flatnonzero(samples.splits == "test").tolist()
    answers = _answers(done, list(probes.values()), [samples.ids[row] for row in test])
    truth = objective.truth(samples.labels[test])
    table = with_significance(table, answers, truth, objective)
    labels = " ".join(map(table.label, table.rows))
    notes = [
        SELECTION,
        _spread(list(done[0].results)),
        PROBES,
        REFERENCES.format(", ".join(first.references)),
        SIGNIFICANCE,
        *(
            [MARKED_NO_BETTER.format(title(table.lead).removesuffix(" ↓"))]
            if NO_BETTER in labels
            else []
        ),
        *([MARKED_CONSTANT] if CONSTANT in labels else []),
        *([f"Marked {RANDOM_MARK}: {random_note(random)}."] if random else []),
        *_other_clips(most, done),
        *([f"{experiment.source}."] if experiment.source else []),
        *(f"failed: {o.entry.label}: {o.error}" for o in outcomes if o.error),
        *(f"note: {note}" for note in (*experiment.notes, *samples.notes)),
    ]
    return replace(table, notes=notes)


def _rows(measured: Mapping[str, Metrics], kind: str) -> list[Row]:
    """Rows of one number a metric."""
    return [
        Row(name, {key: [value] for key, value in values.items()}, kind)
        for name, values in measured.items()
    ]


def _answers(
    outcomes: Sequence[EntryOutcome], probes: Sequence[Probe], clips: Sequence[str]
) -> dict[int, Answers]:
    """What models and, below them, probes said, by the numbers of their rows."""
    places = {clip: place for place, clip in enumerate(clips)}
    of_models = [
        Answers(
            np.array([places[clip] for clip in outcome.test]),
            np.array([result.predicted for result in outcome.results.values()]),
        )
        for outcome in outcomes
    ]
    of_probes = [Answers(np.arange(len(clips)), probe.predicted[None]) for probe in probes]
    return dict(enumerate([*of_models, *of_probes]))


def _test_clips(outcome: EntryOutcome) -> int:
    return outcome.splits["test"]["clips"]


def _other_clips(most: EntryOutcome, outcomes: Sequence[EntryOutcome]) -> list[str]:
    """Rows that read less have fewer clips, where some have nothing of what is left."""
    counts = {o.entry.label: _test_clips(o) for o in outcomes if _test_clips(o) < _test_clips(most)}
    if not counts:
        return []
    told = ", ".join(f"{label} {count}" for label, count in counts.items())
    return [
        f"Fewer test clips than {_test_clips(most)}: {told}. A clip that has nothing of what a row "
        "reads is left out of it, so that these numbers are of other clips."
    ]


def _row(outcome: EntryOutcome) -> Row:
    results = list(outcome.results.values())
    values = {key: [result.test[key] for result in results] for key in results[0].test}
    entry = outcome.entry
    return Row(entry.label, values, group=entry.group, is_random=bool(outcome.random_stages))


def _spread(seeds: list[int]) -> str:
    if len(seeds) == 1:
        return f"One seed ({seeds[0]}): no deviation is known."
    return f"Mean ± sample standard deviation over {len(seeds)} seeds."
