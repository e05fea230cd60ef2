"""Charts as inline SVG: drawn in the page's own colours, so that they follow light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, isfinite, log10

from markupsafe import Markup

from pipeline.page.numbers import short

WIDTH = 360  # of a picture, in its own units: about a phone's, so that text is never scaled down
LABEL = 6.2  # the width of a character of a tick's label

Series = Mapping[str, Sequence[float]]


@dataclass
class Plot:
    """A picture with an area to plot in: it turns values into places, and gathers shapes.

    x, y: the values at the area's ends. left, right, top, bottom: its margins.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    height: int = 200
    left: int = 40
    right: int = 10
    top: int = 10
    bottom: int = 24
    shapes: list[Markup] = field(default_factory=list)

    def at_x(self, value: float) -> float:
        """Where a value lies across the picture."""
        low, high = self.x
        return round(self.left + (value - low) / (high - low) * (WIDTH - self.left - self.right), 1)

    def at_y(self, value: float) -> float:
        """Where a value lies down the picture."""
        low, high = self.y
        inner = self.height - self.top - self.bottom
        return round(self.height - self.bottom - (value - low) / (high - low) * inner, 1)

    def add(self, svg: str, *values: object) -> None:
        """A shape: SVG with a `{}` for each value, which is escaped."""
        self.shapes.append(Markup(svg).format(*values))

    def grid(self, ticks: Iterable[float]) -> None:
        """A line and a label at each of the y values."""
        for tick in ticks:
            y = self.at_y(tick)
            self.add('<path class="grid" d="M{} {}H{}"/>', self.left, y, WIDTH - self.right)
            self.add('<text x="{}" y="{}" text-anchor="end">{}</text>', self.left - 6, y + 4,
                     short(tick))  # fmt: skip

    def below(self, labels: Sequence[tuple[float, str]]) -> None:
        """Labels below the area, at x values; as many as there is room for."""
        widest = LABEL * (2 + max((len(label) for _, label in labels), default=0))
        room = max(1, (WIDTH - self.left - self.right) // widest)
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

    def figure(self, title: str, summary: str = "", series: Sequence[str] = ()) -> Markup:
        """The picture with its title above and a key to its series; summary: what it tells."""
        svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            WIDTH, self.height, f"{title}. {summary}".strip(), Markup("").join(self.shapes)
        )
        keys = [Markup('<span class="key s{}">{}</span>').format(*k) for k in enumerate(series, 1)]
        key = Markup('<span class="keys">{}</span>').format(Markup(" ").join(keys)) if keys else ""
        return Markup(
            '<figure class="chart"><figcaption><span>{}</span>{}</figcaption>{}</figure>'
        ).format(title, key, svg)


def bars(title: str, labels: Sequence[str], series: Series, summary: str = "") -> Markup:
    """A column for each label, the series stacked upon each other in it."""
    totals = [sum(column) for column in zip(*series.values(), strict=True)]
    ticks = nice_ticks(0, max(totals, default=0) or 1)
    plot = Plot((-0.5, max(1, len(labels)) - 0.5), (0, ticks[-1]))
    plot.grid(ticks)
    gap = 0.36 if len(labels) < 30 else 0.5
    bottoms = [0.0] * len(labels)
    for number, values in enumerate(series.values(), 1):
        for i, value in enumerate(values):
            if value:
                top, base = plot.at_y(bottoms[i] + value), plot.at_y(bottoms[i])
                left, right = plot.at_x(i - gap), plot.at_x(i + gap)
                plot.add('<rect class="s{}" x="{}" y="{}" width="{:.1f}" height="{:.1f}"/>',
                         number, left, top, right - left, base - top)  # fmt: skip
            bottoms[i] += value
    plot.below(list(enumerate(labels)))
    return plot.figure(title, summary, list(series) if len(series) > 1 else [])


def lines(
    title: str,
    x: Sequence[float],
    series: Series,
    mark: float | None = None,
    summary: str = "",
    from_zero: bool = False,
) -> Markup:
    """A line a series over `x`; mark: an x value to point at."""
    known = [v for values in series.values() for v in values if isfinite(v)] or [0.0, 1.0]
    ticks = nice_ticks(0 if from_zero else min(known), max(known))
    ends = (min(x, default=0), max(x, default=1))
    plot = Plot(
        ends if ends[0] < ends[1] else (ends[0] - 0.5, ends[1] + 0.5), (ticks[0], ticks[-1])
    )
    plot.grid(ticks)
    if mark is not None:
        plot.add('<path class="mark" d="M{} {}V{}"/>', plot.at_x(mark), plot.top,
                 plot.height - plot.bottom)  # fmt: skip
    for number, values in reversed(list(enumerate(series.values(), 1))):
        plot.path(zip(x, values, strict=True), number)
    inner = [tick for tick in nice_ticks(*plot.x) if plot.x[0] <= tick <= plot.x[1]]
    plot.below([(tick, short(tick)) for tick in inner])
    return plot.figure(title, summary, list(series) if len(series) > 1 else [])


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
    left = min(150, int(12 + LABEL * max((len(row.label) for row in rows), default=0)))
    height = 24 * len(rows) + 34
    y = (max(1, len(rows)) - 0.5, -0.5)
    plot = Plot((ticks[0], ticks[-1]), y, height, left, right=14, top=6)
    for tick in ticks:
        plot.add('<path class="grid" d="M{} {}V{}"/>', plot.at_x(tick), plot.top, height - 24)
    plot.below([(tick, short(tick)) for tick in ticks])
    if reference:
        plot.add('<path class="mark" d="M{} {}V{}"/>', plot.at_x(reference[1]), 6, height - 24)
    for i, row in enumerate(rows):
        _interval(plot, i, row)
    told = "; ".join(f"{row.label} {short(row.mean)}" for row in known)
    named = f"Dashed: {reference[0]} {short(reference[1])}." if reference else ""
    return plot.figure(title, f"{told}. {named}")


def _interval(plot: Plot, i: int, row: Interval) -> None:
    y, kind = plot.at_y(i), "best" if row.is_best else "other"
    plot.add('<text class="{}" x="{}" y="{}" text-anchor="end">{}</text>', kind, plot.left - 10,
             y + 4, row.label)  # fmt: skip
    if isfinite(row.mean):
        low, high = map(plot.at_x, row.ends)
        plot.add('<path class="whisker {}" d="M{} {}H{}"/>', kind, low, y, high)
        plot.add('<circle class="{}" cx="{}" cy="{}" r="4"/>', kind, plot.at_x(row.mean), y)


def nice_ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round values, evenly apart, from just below `low` to just above `high`."""
    if not low < high:
        low, high = (low - abs(low) / 2, high + abs(high) / 2) if low else (-1.0, 1.0)
    raw = (high - low) / about
    power = 10.0 ** floor(log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]
