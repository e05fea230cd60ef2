"""Comparisons and ablations: their tables, as the commands print them, and as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from markupsafe import Markup

from model.experiments.folder import ExperimentFound
from model.experiments.table import MODEL, PROBE, REFERENCE, Row, Table
from model.metrics import measure, of_what, sign, title
from model.report.context import ReportContext, Section
from pipeline.html import charts

OF_SCORES = ("acc2", "corr", "ccc", "mae")  # the metrics that are drawn
OF_CLASSES = ("acc3", "wacc", "uar", "f1")
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
    drawn = OF_SCORES if measure(table.lead) == "mae" else OF_CLASSES
    first = of_what(table.lead)  # of several targets
    keys = [k for k in table.columns if of_what(k) == first and measure(k) in drawn]
    return [_chart(table, key) for key in sorted(keys, key=lambda k: drawn.index(measure(k)))]


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
    best = max(references, key=lambda row: sign(key) * row.mean(key), default=None)
    mark = (best.label, 100 * best.mean(key)) if best else None
    return charts.intervals(title(key), intervals, mark)
