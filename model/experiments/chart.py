"""An ablation's table as bars, in a file for a paper: pages draw their own charts as SVG."""

from __future__ import annotations

from math import isnan
from pathlib import Path

from model.experiments.result import ExperimentResult
from model.experiments.table import MODEL, REFERENCE
from model.metrics import is_share, title

WIDTH = 0.8  # of all bars of a metric, where the distance between metrics is 1


def draw(report: ExperimentResult) -> Path:
    """Accuracies and F1 of every row, with deviations, and the majority class as a line.

    Writes `chart.png` into the report's folder and returns its path.
    """
    # matplotlib takes seconds to import, which only a chart should pay. No window is opened.
    from matplotlib.figure import Figure

    table = report.table
    keys = [key for key in table.columns if is_share(key)]
    rows = [row for row in table.rows if row.kind == MODEL]
    majority = next(row for row in table.rows if row.kind == REFERENCE)
    size = WIDTH / len(rows)
    figure = Figure(figsize=(2 + 1.6 * len(keys), 4), layout="constrained")
    axes = figure.subplots()
    for number, row in enumerate(rows):
        places = [k + (number - (len(rows) - 1) / 2) * size for k in range(len(keys))]
        deviations = [0.0 if isnan(d := row.deviation(key)) else 100 * d for key in keys]
        heights = [100 * row.mean(key) for key in keys]
        axes.bar(
            places, heights, size, yerr=deviations, label=table.label(row), error_kw={"lw": 0.8}
        )
    for k, key in enumerate(keys):
        axes.hlines(100 * majority.mean(key), k - WIDTH / 2, k + WIDTH / 2, "black", "dashed")
    axes.set_xticks(range(len(keys)), [title(key) for key in keys])
    axes.set_ylabel("% (dashed: majority class)")
    axes.set_title(table.title, fontsize="small")
    axes.legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1, 1))
    path = report.folder / "chart.png"
    figure.savefig(path, dpi=150)
    return path
