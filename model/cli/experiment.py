"""An experiment as a command conducts it: progress while it runs, its table, its exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from model import metrics
from model.cli.console import print_table, progress
from model.data.samples import Samples
from model.experiments.experiment import Experiment, conduct
from model.experiments.formats import BEST, SECOND
from model.experiments.result import ExperimentResult
from model.experiments.table import PUBLISHED, Row, Table
from model.runs.files import as_json
from pipeline.cli.console import print_devices
from pipeline.cli.group import CLIPS_FAILED

ABREAST = 10  # metrics; one target has at most 8


def run_and_print(
    experiment: Experiment,
    samples: Samples,
    options: Mapping[str, Any],
    draw: Callable[[ExperimentResult], Path] | None = None,
) -> None:
    """Conduct it with a command's options and print it; exits with 1 where an entry failed."""
    seeds = range(options["seeds"])
    runs, out = Path(options["runs"]), options["out"]
    if not options["as_json"]:
        for line in _presets(experiment):
            click.echo(line)
        print_devices(entry.settings.device for entry in experiment.entries)
    with progress(len(experiment.entries) * len(seeds)) as show:
        report = conduct(experiment, samples, seeds, runs, out, show)
    for damage in (damage for outcome in report.outcomes for damage in outcome.damaged):
        click.echo(f"note: {damage}; that training was done again", err=True)
    chart = draw(report) if draw else None
    if options["as_json"]:
        click.echo(json.dumps(as_json(report.to_json())))
    else:
        print_paper_table(report.table)
        click.echo(_counts(report))
        click.echo(f"written: {report.folder}" + (f", with {chart.name}" if chart else ""))
    if report.failed:
        sys.exit(CLIPS_FAILED)


def _presets(experiment: Experiment) -> list[str]:
    """Which rows are trained by which preset."""
    labels: dict[str, list[str]] = {}
    for entry in experiment.entries:
        labels.setdefault(entry.preset.told(entry.settings), []).append(entry.label)
    return [f"{', '.join(own)}: {preset}" for preset, own in labels.items()]


def _counts(report: ExperimentResult) -> str:
    trained = sum(len(outcome.trained) for outcome in report.outcomes)
    found = sum(len(outcome.results) for outcome in report.outcomes) - trained
    return f"{trained} trainings done, {found} reused"


def print_paper_table(table: Table) -> None:
    """Print it with its notes, best in bold, second underlined; a block for each of many targets or
    labels, below each other."""
    title = table.title
    for keys in blocks(table.columns):
        sections = [[_styled(table, row, keys) for row in rows] for rows in table.sections()]
        print_table(title, ["", *map(metrics.title, keys)], sections)
        title = ""
    for note in table.notes:
        click.echo(note)


def blocks(columns: Sequence[str]) -> list[list[str]]:
    """The metrics to print side by side: all, or where they are many those of one target."""
    if len(columns) <= ABREAST:
        return [[*columns]]
    return [[*own] for _, own in groupby(columns, metrics.of_what)]


def _styled(table: Table, row: Row, keys: Sequence[str]) -> list[Text]:
    styles = {BEST: "bold", SECOND: "underline"}
    plain = "dim" if row.kind == PUBLISHED else ""
    numbers = [
        Text(table.cell(row, key), styles.get(table.rank(row, key) or 0, plain)) for key in keys
    ]
    return [Text(table.label(row), plain), *numbers]
