"""Charts as inline SVG that follow the page's colours, light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

from markupsafe import Markup

from pipeline.html.numbers import plain
from pipeline.html.plot import Plot, count_ticks, labelled, nice_ticks, ticks_within

NAME = 7.4  # the width of a character of a row's name, capitals among them

Series = Mapping[str, Sequence[float]]


def bars(title: str, labels: Sequence[str], series: Series, summary: str = "") -> Markup:
    """A column for each label, the counts of each series stacked upon each other in it."""
    totals = [sum(column) for column in zip(*series.values(), strict=True)]
    ticks = count_ticks(max(totals, default=0))
    plot = Plot((-0.5, max(1, len(labels)) - 0.5), (0, ticks[-1]))
    plot.grid(ticks)
    bottoms = [0.0] * len(labels)
    for number, values in enumerate(series.values(), 1):
        for i, value in enumerate(values):
            _column(plot, number, (i - 0.36, i + 0.36), (bottoms[i], bottoms[i] + value))
            bottoms[i] += value
    plot.below(list(enumerate(labels)))
    return plot.figure(title, summary, list(series) if len(series) > 1 else [])


def histogram(
    title: str, edges: Sequence[float], counts: Sequence[float], summary: str = ""
) -> Markup:
    """How many values lie between each edge and the next."""
    ticks = count_ticks(max(counts, default=0))
    plot = Plot((edges[0], edges[-1]), (0, ticks[-1]), height=150)
    plot.grid(ticks)
    for (left, right), count in zip(pairwise(edges), counts, strict=True):
        _column(plot, 1, (left, right - 0.1 * (right - left)), (0, count))
    plot.below(labelled(ticks_within(plot.x)))
    return plot.figure(title, summary)


def _column(plot: Plot, series: int, x: tuple[float, float], y: tuple[float, float]) -> None:
    left, right, base, top = *map(plot.at_x, x), *map(plot.at_y, y)
    if base > top:
        plot.add('<rect class="s{}" x="{}" y="{}" width="{:.1f}" height="{:.1f}"/>',
                 series, left, top, right - left, base - top)  # fmt: skip


def lines(
    title: str,
    x: Sequence[float],
    series: Series,
    mark: tuple[str, float] | None = None,
    summary: str = "",
) -> Markup:
    """A line a series over `x`, the first the strongest; mark: the name of an x value, and it."""
    known = [v for values in series.values() for v in values if isfinite(v)] or [0.0, 1.0]
    ticks = nice_ticks(min(known), max(known))
    low, high = min(x, default=0), max(x, default=1)
    plot = Plot((low, high) if low < high else (low - 0.5, low + 0.5), (ticks[0], ticks[-1]))
    plot.grid(ticks)
    if mark:
        plot.add('<path class="mark" d="M{} {}V{}"/>', plot.at_x(mark[1]), plot.top,
                 plot.height - plot.bottom)  # fmt: skip
    for number, values in reversed(list(enumerate(series.values(), 1))):
        plot.path(zip(x, values, strict=True), number)
    plot.below(labelled(ticks_within(plot.x)))
    names = list(series) if len(series) > 1 else []
    return plot.figure(title, summary, names, mark[0] if mark else "")


@dataclass(frozen=True)
class Interval:
    """A row of `intervals`: a mean, and how far to either side of it values lie. nan: unknown."""

    label: str
    mean: float
    deviation: float = float("nan")
    is_best: bool = False

    @property
    def ends(self) -> tuple[float, float]:
        """Where the deviation ends; the mean itself where there is none."""
        deviation = self.deviation if isfinite(self.deviation) else 0.0
        return self.mean - deviation, self.mean + deviation


def intervals(
    title: str, rows: Sequence[Interval], reference: tuple[str, float] | None = None
) -> Markup:
    """A point and its deviation for each row; reference: a value to read them against."""
    known = [row for row in rows if isfinite(row.mean)]
    reference = reference if reference and isfinite(reference[1]) else None
    ends = [end for row in known for end in row.ends] + ([reference[1]] if reference else [])
    ticks = nice_ticks(min(ends, default=0), max(ends, default=1), 4)
    left = min(140, int(12 + NAME * max((len(row.label) for row in rows), default=0)))
    height = 24 * len(rows) + 34
    y = (max(1, len(rows)) - 0.5, -0.5)
    plot = Plot((ticks[0], ticks[-1]), y, height, left, right=14, top=6)
    for tick in ticks:
        plot.add('<path class="grid" d="M{} {}V{}"/>', plot.at_x(tick), plot.top, height - 24)
    plot.below(labelled(ticks))
    if reference:
        plot.add('<path class="mark" d="M{} {}V{}"/>', plot.at_x(reference[1]), 6, height - 24)
    for i, row in enumerate(rows):
        _interval(plot, i, row)
    told = "; ".join(f"{row.label} {plain(row.mean)}" for row in known)
    named = f"{reference[0]} {plain(reference[1])}" if reference else ""
    return plot.figure(title, f"{told}. {named}".strip(), dotted=reference[0] if reference else "")


def _interval(plot: Plot, i: int, row: Interval) -> None:
    y, kind = plot.at_y(i), "best" if row.is_best else "other"
    plot.add('<text class="{}" x="{}" y="{}" text-anchor="end">{}</text>', kind, plot.left - 10,
             y + 4, row.label)  # fmt: skip
    if isfinite(row.mean):
        low, high = map(plot.at_x, row.ends)
        plot.add('<path class="whisker {}" d="M{} {}H{}"/>', kind, low, y, high)
        plot.add('<circle class="{}" cx="{}" cy="{}" r="4"/>', kind, plot.at_x(row.mean), y)
