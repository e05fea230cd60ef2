"""An experiment's folder: its table as CSV, Markdown and LaTeX, and all about it as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from model.data import left_out
from model.data.samples import Samples
from model.experiments import formats
from model.experiments.report import Report
from model.experiments.table import Table
from model.runs.files import as_json
from pipeline.io.folder import Folder


def write(report: Report, samples: Samples) -> None:
    """Write every file of `report.folder`, each in one step."""
    folder = Folder(report.folder)
    content = {
        **report.to_json(),
        "splits": samples.table(),
        "left_out": left_out.to_json(samples.left_out),
        "target": samples.target,
        "scale": samples.scale.name,
        "provenance": samples.provenance,
    }
    files = {
        "seeds.csv": _csv(*_by_seed(report)),
        "summary.csv": _csv(*_summary(report.table)),
        "table.md": formats.markdown(report.table),
        "table.tex": formats.latex(report.table),
        "experiment.json": json.dumps(as_json(content), indent=2, ensure_ascii=False) + "\n",
    }
    for name, text in files.items():
        folder.write(name, text.encode())


def _by_seed(report: Report) -> tuple[list[str], list[list[Any]]]:
    """A line a training: validation metrics, then test metrics."""
    keys = report.table.columns
    columns = ["row", "group", "model", "preset", "seed", "best_epoch", "epochs", "seconds"]
    columns += [*(f"valid_{key}" for key in keys), *(f"test_{key}" for key in keys)]
    return columns, [
        [outcome.entry.label, outcome.entry.group, outcome.entry.settings.model]
        + [outcome.entry.preset.name, seed, result.best_epoch, result.epochs, result.seconds]
        + [result.valid[key] for key in keys]
        + [result.test[key] for key in keys]
        for outcome in report.outcomes
        for seed, result in outcome.results.items()
    ]


def _summary(table: Table) -> tuple[list[str], list[list[Any]]]:
    """A line a row of the table: mean and deviation of each metric, nothing where unknown."""
    columns = ["row", "kind", "group"]
    columns += [f"{key}_{of}" for key in table.columns for of in ("mean", "std")]
    return columns, [
        [row.label, row.kind, row.group]
        + [n if n == n else "" for k in table.columns for n in (row.mean(k), row.deviation(k))]
        for row in table.rows
    ]


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
