"""Comparisons and ablations: their tables, as the commands print them, and as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from markupsafe import Markup

from model.experiments.table import LOWER_IS_BETTER, MODEL, REFERENCE, Row, Table
from model.metrics import TITLES
from model.report.evidence import Evidence, Section
from model.report.experiments import ExperimentFound
from pipeline.page import charts

CHARTED = ("acc2", "acc3", "f1", "corr", "mae")
MOST_CHARTS = 4
CLASSES = {1: "best", 2: "second"}


@dataclass(frozen=True)
class Compared:
    """An experiment with its charts, one a metric."""

    found: ExperimentFound
    charts: Sequence[Markup]

    @property
    def table(self) -> Table:
        return self.found.table

    def rank(self, row: Row, key: str) -> str:
        """The class of a cell that is best or second best."""
        return CLASSES.get(self.table.rank(row, key) or 0, "")


@dataclass(frozen=True)
class Comparisons:
    """experiments: all that were found. commands: that make more."""

    experiments: Sequence[Compared]
    commands: Sequence[str]


def section(evidence: Evidence) -> Section:
    """Every experiment on the dataset."""
    experiments = [Compared(found, _charts(found.table)) for found in evidence.experiments]
    commands = [evidence.command("compare"), evidence.command("ablate", "modalities")]
    return Section("comparisons", "Comparisons", Comparisons(experiments, commands))


def _charts(table: Table) -> list[Markup]:
    keys = [key for key in CHARTED if key in table.columns][:MOST_CHARTS]
    keys = [*keys[: MOST_CHARTS - 1], "mae"] if "mae" in table.columns else keys
    return [_chart(table, key) for key in keys]


def _chart(table: Table, key: str) -> Markup:
    rows = [row for row in table.rows if row.kind == MODEL]
    intervals = [
        charts.Interval(
            row.label, 100 * row.mean(key), 100 * row.deviation(key), table.rank(row, key) == 1
        )
        for row in rows
    ]
    references = [row for row in table.rows if row.kind == REFERENCE and not isnan(row.mean(key))]
    best = min if key in LOWER_IS_BETTER else max
    reference = best(references, key=lambda row: row.mean(key), default=None)
    mark = (reference.label, 100 * reference.mean(key)) if reference else None
    return charts.intervals(TITLES[key], intervals, mark)
