"""A plot as inline SVG: from values to places, axes, shapes in the page's own colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, floor, isfinite, log10

from markupsafe import Markup

from pipeline.html.numbers import plain

# Of a picture, in its own units: about what it is seen at, three in a row or on a phone.
WIDTH = 300
LABEL = 6.2  # the width of a character of a tick's label


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
        low, high = self.x
        inner = self.width - self.left - self.right
        return round(self.left + (value - low) / (high - low) * inner, 1)

    def at_y(self, value: float) -> float:
        """Where a value lies down the picture."""
        low, high = self.y
        inner = self.height - self.top - self.bottom
        return round(self.height - self.bottom - (value - low) / (high - low) * inner, 1)

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

    def below(self, labels: Sequence[tuple[float, str]]) -> None:
        """Labels below the area, at x values; as many as there is room for."""
        widest = LABEL * (1.2 + max((len(label) for _, label in labels), default=0))
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
        self, title: str, summary: str = "", series: Sequence[str] = (), dotted: str = ""
    ) -> Markup:
        """The picture with its title above and a key to its series; summary: what it tells.

        dotted: what the dotted line is.
        """
        svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            self.width, self.height, f"{title}. {summary}".strip(), Markup("").join(self.shapes)
        )
        keys = [Markup('<span class="key s{}">{}</span>').format(*k) for k in enumerate(series, 1)]
        if dotted:
            keys.append(Markup('<span class="key dotted">{}</span>').format(dotted))
        key = Markup('<span class="keys">{}</span>').format(Markup(" ").join(keys)) if keys else ""
        return Markup(
            '<figure class="chart"><figcaption><span>{}</span>{}</figcaption>{}</figure>'
        ).format(title, key, svg)


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
