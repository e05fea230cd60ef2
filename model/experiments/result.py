"""The result of an experiment: its table, and what became of each entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.experiments.table import MODEL, Table
from model.experiments.trainings import EntryOutcome


@dataclass(frozen=True)
class ExperimentResult:
    """A finished experiment. folder: holds the table as CSV, Markdown and LaTeX."""

    table: Table
    outcomes: Sequence[EntryOutcome]
    folder: Path

    @property
    def failed(self) -> list[EntryOutcome]:
        """The entries without results."""
        return [outcome for outcome in self.outcomes if outcome.error]

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs; metrics are shares, not × 100."""
        entries = {outcome.entry.label: outcome.to_json() for outcome in self.outcomes}
        return {
            "title": self.table.title,
            "folder": str(self.folder),
            "rows": [
                {
                    **(entries[row.label] if row.kind == MODEL else {"label": row.label}),
                    "kind": row.kind,
                    "group": row.group,
                    "metrics": {
                        key: {
                            "mean": row.mean(key),
                            "std": row.deviation(key),
                            "values": list(row.values[key]),
                            **row.tests(key),
                        }
                        for key in row.values
                    },
                }
                for row in self.table.rows
            ],
            "failed": {outcome.entry.label: outcome.error for outcome in self.failed},
            "notes": list(self.table.notes),
        }
