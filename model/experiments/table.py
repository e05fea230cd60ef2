"""A table of measured models, what is best in it, and rows to read it against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isnan, nan
from statistics import fmean, stdev
from typing import Any

from model.metrics import Metrics, is_share, lead, sign, title
from pipeline.weights.random_weights import RANDOM_MARK

MODEL, PROBE, REFERENCE, PUBLISHED = "model", "probe", "reference", "published"
ROUNDED = 1e-4  # shares are shown, and were published, in % with two digits
CONSTANT, NO_BETTER = "†", "‡"
NOT_SIGNIFICANT = "ⁿˢ"
LEVEL = 0.05
TESTS = ("intervals", "p_best", "p_probe")


@dataclass(frozen=True)
class Row:
    """A line. values: by metric one number a seed, as shares; published numbers are one each.

    kind: MODEL, PROBE, REFERENCE or PUBLISHED. group: the rows that it is ranked with. is_random:
    whether its features are of networks with random weights. intervals: by metric, where 95 % of
    the resamples lie. p_best, p_probe: by metric, the p value of no difference from the best row
    of the group and from the linear probe.
    """

    label: str
    values: Mapping[str, Sequence[float]]
    kind: str = MODEL
    group: str = ""
    is_random: bool = False
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    p_best: Mapping[str, float] = field(default_factory=dict)
    p_probe: Mapping[str, float] = field(default_factory=dict)

    def mean(self, key: str) -> float:
        """Over the seeds; nan where the row has no such metric or a seed has none."""
        values = self.values.get(key, ())
        return fmean(values) if values else float("nan")

    def deviation(self, key: str) -> float:
        """The sample standard deviation over the seeds; nan for fewer than two."""
        values = self.values.get(key, ())
        is_known = len(values) > 1 and not isnan(self.mean(key))
        return stdev(values) if is_known else float("nan")

    def tests(self, key: str) -> dict[str, Any]:
        """The interval and p values of a metric, those that are known."""
        return {name: found[key] for name in TESTS if key in (found := getattr(self, name))}

    def seeds_equal_to(self, reference: Metrics) -> int:
        """How many seeds have exactly the accuracies and F1 of `reference`, as far as printed."""
        keys = [key for key in self.values if is_share(key)]
        by_seed = zip(*(self.values[key] for key in keys), strict=True)
        expected = [reference.get(key, nan) for key in keys]
        return sum(
            all(abs(a - b) <= ROUNDED / 2 + 1e-9 for a, b in zip(seed, expected, strict=True))
            for seed in by_seed
        )


@dataclass(frozen=True)
class Table:
    """Rows, the metrics that are their columns, and what a reader has to know."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    @property
    def headings(self) -> list[str]:
        """What the columns are called."""
        return [title(key) for key in self.columns]

    @cached_property
    def ranks(self) -> dict[tuple[str, str, str], int]:
        """By group, label and metric: 1 for the best model of its group, 2 for the second best.

        Equal as printed is equal. Groups of two have no second, tables of one row no best.
        """
        found = {}
        rows = [row for row in self.rows if row.kind == MODEL]
        for group in {row.group for row in rows}:
            ranked = [row for row in rows if row.group == group]
            for key in self.columns:
                for row, rank in _ranked(ranked, key):
                    found[group, row.label, key] = rank
        return found

    def rank(self, row: Row, key: str) -> int | None:
        """1 or 2 for what is best and second best, else None."""
        return self.ranks.get((row.group, row.label, key)) if row.kind == MODEL else None

    def cell(self, row: Row, key: str) -> str:
        """`mean ± deviation`, all × 100; a dash for what there is none of.

        Marked where the best of its group isn't significantly better.
        """
        mean, deviation = row.mean(key), row.deviation(key)
        if isnan(mean):
            return "–"
        mark = NOT_SIGNIFICANT if row.p_best.get(key, 0) >= LEVEL else ""
        return f"{100 * mean:.2f}{'' if isnan(deviation) else f' ± {100 * deviation:.2f}'}{mark}"

    def label(self, row: Row) -> str:
        """The row's name, marked where its features are random, where it answers as a constant
        does, and where it isn't significantly better than the linear probe.
        """
        references = [r for r in self.rows if r.kind == REFERENCE]
        constants = [{key: r.mean(key) for key in r.values} for r in references]
        is_constant = row.kind != REFERENCE and any(map(row.seeds_equal_to, constants))
        marks = [RANDOM_MARK] * row.is_random + [CONSTANT] * is_constant
        return " ".join([row.label, *marks, *[NO_BETTER] * self._is_no_better(row)])

    @property
    def lead(self) -> str:
        """The metric that decides whether a row is better than the linear probe."""
        return lead(self.columns)

    def _is_no_better(self, row: Row) -> bool:
        if self.lead not in row.p_probe:
            return False
        probe = [other for other in self.rows if other.kind == PROBE][-1].mean(self.lead)
        ahead = sign(self.lead) * (row.mean(self.lead) - probe)
        return row.p_probe[self.lead] >= LEVEL or ahead <= 0

    def sections(self) -> list[list[Row]]:
        """The rows by kind and group, in their order."""
        sections: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            sections.setdefault((row.kind, row.group if row.kind == MODEL else ""), []).append(row)
        return list(sections.values())


def _ranked(rows: Sequence[Row], key: str) -> list[tuple[Row, int]]:
    means = {id(row): round(row.mean(key), 4) for row in rows if not isnan(row.mean(key))}
    order = sorted(set(means.values()), reverse=sign(key) > 0)
    shown = order[: max(0, min(2, len(rows) - 1))]
    return [(row, 1 + shown.index(means[id(row)])) for row in rows if means.get(id(row)) in shown]
