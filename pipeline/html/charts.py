"""Charts as inline SVG in the page's own colours, light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, floor, isfinite, log10

from markupsafe import Markup

from pipeline.html.numbers import plain

# Of a picture, in its own units: about what it is seen at, three in a row or on a phone.
WIDTH = 300
TICK_CHARACTER, NAME_CHARACTER = 6.2, 7.4  # widths; a row's name may be all capitals

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
        plot.upright("mark", mark[1])
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
    left = min(140, int(12 + NAME_CHARACTER * max((len(row.label) for row in rows), default=0)))
    y = (max(1, len(rows)) - 0.5, -0.5)
    plot = Plot((ticks[0], ticks[-1]), y, 24 * len(rows) + 34, left, right=14, top=6)
    for tick in ticks:
        plot.upright("grid", tick)
    plot.below(labelled(ticks))
    if reference:
        plot.upright("mark", reference[1])
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


@dataclass
class Plot:
    """A picture with an area to plot in: it turns values into places, and gathers shapes.

    x, y: the values at the area's ends. left, right, top, bottom: its margins.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    height: int = 180
    left: int = 40
    right: int = 10
    top: int = 10
    bottom: int = 24
    width: int = WIDTH
    shapes: list[Markup] = field(default_factory=list)

    def at_x(self, value: float) -> float:
        """Where a value lies across the picture."""
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return round(self.left + share * (self.width - self.left - self.right), 1)

    def at_y(self, value: float) -> float:
        """Where a value lies down the picture."""
        share = (value - self.y[0]) / (self.y[1] - self.y[0])
        return round(self.top + (1 - share) * (self.height - self.top - self.bottom), 1)

    def add(self, svg: str, *values: object) -> None:
        """A shape: SVG with a `{}` for each value, which is escaped."""
        self.shapes.append(Markup(svg).format(*values))

    def grid(self, ticks: Sequence[float]) -> None:
        """A line and a label at each of the y values."""
        for tick, label in labelled(ticks):
            y = self.at_y(tick)
            self.add('<path class="grid" d="M{} {}H{}"/>', self.left, y, self.width - self.right)
            self.add('<text x="{}" y="{}" text-anchor="end">{}</text>', self.left - 6, y + 4,
                     label)  # fmt: skip

    def upright(self, kind: str, value: float) -> None:
        """A line up the area at an x value."""
        self.add('<path class="{}" d="M{} {}V{}"/>', kind, self.at_x(value), self.top,
                 self.height - self.bottom)  # fmt: skip

    def below(self, labels: Sequence[tuple[float, str]]) -> None:
        """Labels below the area, at x values; as many as there is room for."""
        widest = TICK_CHARACTER * (1.2 + max((len(label) for _, label in labels), default=0))
        room = max(1, (self.width - self.left - self.right) // widest)
        every = max(1, ceil(len(labels) / room))
        for value, label in labels[::every]:
            self.add('<text x="{}" y="{}" text-anchor="middle">{}</text>', self.at_x(value),
                     self.height - self.bottom + 16, label)  # fmt: skip

    def path(self, points: Iterable[tuple[float, float]], series: int) -> None:
        """A line through points; a value that is not finite leaves a gap."""
        drawn, pen = [], "M"
        for x, y in points:
            if isfinite(y):
                drawn.append(f"{pen}{self.at_x(x)} {self.at_y(y)}")
            pen = "L" if isfinite(y) else "M"
        self.add('<path class="line s{}" d="{}"/>', series, "".join(drawn))

    def figure(
        self,
        title: str,
        summary: str = "",
        series: Sequence[str] = (),
        dotted: str = "",
        wide: bool = False,
    ) -> Markup:
        """The picture with its title above and a key to its series; summary: what it tells.

        dotted: what the dotted line is. wide: it takes the page's width, and scrolls on a phone.
        """
        svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            self.width, self.height, f"{title}. {summary}".strip(), Markup("").join(self.shapes)
        )
        keys = [Markup('<span class="key s{}">{}</span>').format(*k) for k in enumerate(series, 1)]
        if dotted:
            keys.append(Markup('<span class="key dotted">{}</span>').format(dotted))
        key = Markup('<span class="keys">{}</span>').format(Markup(" ").join(keys)) if keys else ""
        return Markup(
            '<figure class="chart{}"><figcaption><span>{}</span>{}</figcaption>{}</figure>'
        ).format(" wide" if wide else "", title, key, svg)


def nice_ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round values, evenly apart, from just below `low` to just above `high`."""
    if not low < high:
        low, high = (low - abs(low) / 2, high + abs(high) / 2) if low else (-1.0, 1.0)
    raw = (high - low) / about
    power = 10.0 ** floor(log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def count_ticks(most: float) -> list[float]:
    """Ticks of whole numbers from 0."""
    return nice_ticks(0, most) if most >= 4 else [float(k) for k in range(int(most or 1) + 1)]


def ticks_within(ends: tuple[float, float]) -> list[float]:
    """Round values between the ends."""
    return [tick for tick in nice_ticks(*ends, about=6) if ends[0] <= tick <= ends[1]]


def labelled(ticks: Sequence[float]) -> list[tuple[float, str]]:
    """Each with its label; all have as many decimals as tell them apart."""
    step = min((b - a for a, b in pairwise(ticks)), default=1.0)
    decimals = max(0, -floor(log10(step) + 1e-6))
    is_long = decimals > 5 or any(abs(tick) >= 1e6 for tick in ticks)
    return [(tick, f"{tick:.3g}" if is_long else plain(tick, decimals)) for tick in ticks]
