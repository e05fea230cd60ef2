"""The tables that `smp compare` and `smp ablate` left, read back from their folders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.experiments.table import Row, Table
from model.metrics import TITLES
from model.runs.files import from_json

FILE = "experiment.json"


@dataclass(frozen=True)
class ExperimentFound:
    """An experiment's table, and where it lies."""

    folder: Path
    table: Table


def experiments_of(dataset: str, folder: Path) -> tuple[list[ExperimentFound], list[str]]:
    """A dataset's experiments in `folder` by name, and what is wrong with unreadable ones."""
    found, unreadable = [], []
    for path in sorted(folder.glob(f"*/{FILE}")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["provenance"]["dataset"] == dataset:
                found.append(ExperimentFound(path.parent, _table(content)))
        except (OSError, ValueError, LookupError, TypeError) as error:
            unreadable.append(f"{path}: no readable experiment ({error!r})")
    return found, unreadable


def _table(content: Mapping[str, Any]) -> Table:
    rows = [_row(row) for row in content["rows"]]
    columns = [key for key in TITLES if key in rows[0].values]
    return Table(content["title"], columns, rows, content["notes"])


def _row(content: Mapping[str, Any]) -> Row:
    values = {key: from_json(metric["values"]) for key, metric in content["metrics"].items()}
    is_random = bool(content.get("random_stages"))
    return Row(content["label"], values, content["kind"], content["group"], is_random)
