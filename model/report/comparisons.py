"""Comparisons and ablations: their tables, as the commands print them, and as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from markupsafe import Markup

from model.experiments.folder import ExperimentFound
from model.experiments.table import LOWER_IS_BETTER, MODEL, PROBE, REFERENCE, Row, Table
from model.metrics import TITLES
from model.report.context import ReportContext, Section
from pipeline.html import charts

OF_SCORES, OF_CLASSES = ("acc2", "corr", "mae"), ("acc3", "f1")  # the metrics that are drawn
CLASSES = {1: "best", 2: "second"}


@dataclass(frozen=True)
class Compared:
    """An experiment with its charts, one a metric."""

    found: ExperimentFound
    charts: Sequence[Markup]

    @property
    def table(self) -> Table:
        return self.found.table

    @property
    def title(self) -> str:
        """What is compared: the table's title between the dataset's name and the counts."""
        what = self.table.title.partition(": ")[2].partition(";")[0]
        return what[:1].upper() + what[1:]

    @property
    def counts(self) -> str:
        """The rest of the table's title: of how many clips, and in which units."""
        return self.table.title.partition("; ")[2]

    def rank(self, row: Row, key: str) -> str:
        """The class of a cell that is best or second best."""
        return CLASSES.get(self.table.rank(row, key) or 0, "")


def section(context: ReportContext) -> Section:
    """Every experiment on the dataset."""
    experiments = [Compared(found, _charts(found.table)) for found in context.experiments]
    experiments.sort(key=lambda compared: "-compare" not in compared.found.folder.name)
    content = {
        "experiments": experiments,
        "compare": context.command("compare"),
        "ablate": context.command("ablate", "modalities"),
    }
    return Section("comparisons", "Comparisons", content)


def _charts(table: Table) -> list[Markup]:
    keys = OF_SCORES if "mae" in table.columns else OF_CLASSES
    return [_chart(table, key) for key in keys if key in table.columns]


def _chart(table: Table, key: str) -> Markup:
    rows = [row for row in table.rows if row.kind == MODEL]
    intervals = [
        charts.Interval(
            row.label, 100 * row.mean(key), 100 * row.deviation(key), table.rank(row, key) == 1
        )
        for row in rows
    ]
    kinds = (PROBE, REFERENCE)
    references = [row for row in table.rows if row.kind in kinds and not isnan(row.mean(key))]
    best = min if key in LOWER_IS_BETTER else max
    reference = best(references, key=lambda row: row.mean(key), default=None)
    mark = (reference.label, 100 * reference.mean(key)) if reference else None
    return charts.intervals(TITLES[key], intervals, mark)
