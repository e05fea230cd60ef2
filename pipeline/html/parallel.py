"""Parallel coordinates as inline SVG: a line a row, through its value on each of several axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log

from markupsafe import Markup

from pipeline.html.charts import Plot

AXIS_WIDTH = 104  # of the picture's own units
TOP, BOTTOM = 34, 22


@dataclass(frozen=True)
class Axis:
    """An axis. name: above it. ends: its lowest and highest value; choices: in place of these, the
    values themselves, evenly apart. is_log: evenly by ratio. is_better_low: its best is on top.
    """

    name: str
    ends: tuple[float, float] = (0.0, 1.0)
    choices: Sequence[object] = ()
    is_log: bool = False
    is_better_low: bool = False

    def height(self, value: object) -> float:
        """How far up a value lies, 0 to 1."""
        if self.choices:
            last = len(self.choices) - 1
            return list(self.choices).index(value) / last if last else 0.5
        scaled: Callable[[float], float] = log if self.is_log else float
        low, high, own = (scaled(float(v)) for v in (*self.ends, value))  # type: ignore[arg-type]
        share = min(1.0, max(0.0, (own - low) / (high - low))) if high > low else 0.5
        return 1 - share if self.is_better_low else share

    @property
    def labels(self) -> list[tuple[float, str]]:
        """What is written beside the axis, and how far up."""
        return [(self.height(value), _told(value)) for value in self.choices or self.ends]


def _told(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def parallel(
    title: str,
    axes: Sequence[Axis],
    rows: Sequence[Mapping[str, object]],
    best: int = 1,
    summary: str = "",
) -> Markup:
    """rows: values by axis; those of an axis that a row lacks leave a gap. The first `best` of them
    are drawn strong, on top of the others.
    """
    plot = Plot((-0.5, len(axes) - 0.5), (0, 1), 230, left=4, right=4, top=TOP, bottom=BOTTOM,
                width=AXIS_WIDTH * len(axes))  # fmt: skip
    for i, axis in enumerate(axes):
        plot.upright("grid", i)
        plot.add('<text x="{}" y="14" text-anchor="middle">{}</text>', plot.at_x(i), axis.name)
    for number, row in reversed(list(enumerate(rows))):
        points = [
            (i, axis.height(row[axis.name]) if axis.name in row else float("nan"))
            for i, axis in enumerate(axes)
        ]
        plot.path(points, 1 if number < best else 3)
    for i, axis in enumerate(axes):
        for height, label in axis.labels:
            plot.add('<text x="{}" y="{}">{}</text>', plot.at_x(i) + 4, plot.at_y(height) + 4,
                     label)  # fmt: skip
    return plot.figure(title, summary, wide=True)
