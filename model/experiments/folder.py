"""An experiment's folder: its table as CSV, Markdown and LaTeX, and all about it as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

from model.data import left_out
from model.data.samples import Samples
from model.experiments import formats
from model.experiments.result import ExperimentResult
from model.experiments.table import TESTS, Row, Table
from model.metrics import ordered
from model.runs.files import as_json, from_json
from model.runs.seal import small_file
from pipeline.io import strict_json
from pipeline.io.csv_text import csv_text
from pipeline.io.folder import Folder
from pipeline.io.hashing import sealed, unsealed
from pipeline.messages import one_line

FILE = "experiment.json"
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class ExperimentFound:
    """An experiment's table, and where it lies."""

    folder: Path
    table: Table


def write(result: ExperimentResult, samples: Samples) -> None:
    """Write every file of `result.folder`, each in one step."""
    folder = Folder(result.folder)
    content = {
        **result.to_json(),
        "splits": samples.table(),
        "left_out": left_out.to_json(samples.left_out),
        "target": samples.target,
        "scale": samples.scale.name,
        "provenance": samples.provenance,
    }
    files = {
        "seeds.csv": csv_text(*_by_seed(result)),
        "summary.csv": csv_text(*_summary(result.table)),
        "table.md": formats.markdown(result.table),
        "table.tex": formats.latex(result.table),
    }
    for name, text in files.items():
        folder.write(name, text.encode())
    folder.write(FILE, sealed(as_json(content), indent=2) + b"\n")


def experiments_of(dataset: str, folder: Path) -> tuple[list[ExperimentFound], list[str]]:
    """A dataset's experiments in `folder` by name, and what is wrong with unreadable ones."""
    found, unreadable = [], []
    for path in sorted(folder.glob(f"*/{FILE}")):
        try:
            content = _read(path)
            if content["provenance"]["dataset"] == dataset:
                found.append(ExperimentFound(path.parent, _table(content)))
        except UNREADABLE as error:
            why = one_line(error, with_kind=True)
            unreadable.append(f"{path} is no readable experiment ({why}); conduct it again")
    return found, unreadable


def _read(path: Path) -> dict[str, Any]:
    """One of an earlier version has no seal."""
    text = small_file(path)
    content: dict[str, Any] = strict_json.loads(text)
    return unsealed(text) if "sha256" in content else content


def _table(content: Mapping[str, Any]) -> Table:
    rows = [_row(row) for row in content["rows"]]
    return Table(content["title"], ordered(rows[0].values), rows, content["notes"])


def _row(content: Mapping[str, Any]) -> Row:
    values = {key: from_json(metric["values"]) for key, metric in content["metrics"].items()}
    is_random = bool(content.get("random_stages"))
    tests = {
        name: {key: from_json(m[name]) for key, m in content["metrics"].items() if name in m}
        for name in TESTS
    }
    return Row(content["label"], values, content["kind"], content["group"], is_random, **tests)


def _by_seed(result: ExperimentResult) -> tuple[list[str], list[list[Any]]]:
    """A line a training: validation metrics, then test metrics."""
    keys = result.table.columns
    columns = ["row", "group", "model", "preset", "seed", "best_epoch", "epochs", "seconds"]
    columns += [*(f"valid_{key}" for key in keys), *(f"test_{key}" for key in keys)]
    return columns, [
        [outcome.entry.label, outcome.entry.group, outcome.entry.settings.model]
        + [outcome.entry.preset.name, seed, result.best_epoch, result.epochs, result.seconds]
        + [result.valid[key] for key in keys]
        + [result.test[key] for key in keys]
        for outcome in result.outcomes
        for seed, result in outcome.results.items()
    ]


def _summary(table: Table) -> tuple[list[str], list[list[Any]]]:
    """A line a row of the table: what is known of each metric, nothing where unknown."""
    columns = ["row", "kind", "group"]
    of_each = ("mean", "std", "low", "high", "p_best", "p_probe")
    columns += [f"{key}_{of}" for key in table.columns for of in of_each]
    return columns, [
        [row.label, row.kind, row.group]
        + [n if n == n else "" for key in table.columns for n in _known(row, key)]
        for row in table.rows
    ]


def _known(row: Row, key: str) -> list[float]:
    ends = row.intervals.get(key, (nan, nan))
    tests = row.p_best.get(key, nan), row.p_probe.get(key, nan)
    return [row.mean(key), row.deviation(key), *ends, *tests]
