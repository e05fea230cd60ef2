"""The picture of a traced extraction: what each thread did when, and how many cores were busy.

`python -m benchmarks.trace` extracts the built-in sample with `smp extract --trace`, prints what
that prints and draws the trace to `benchmarks/trace.png`. `--dataset` names another dataset,
`--trace` a trace that is there already.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Patch

PLOT = Path(__file__).with_suffix(".png")
SMP = str(Path(sys.executable).parent / "smp")
# Of stages, and of what no features come of.
STAGES = ("faces", "resnet18", "action_units", "audio", "mfcc", "wav2vec2", "bert")
COLOURS = {name: f"C{number}" for number, name in enumerate(STAGES)}
WAITING = {"import": "black", "load weights": "dimgrey", "write": "white"}

LABELLED = 0.03  # of the whole time, from which on there is room for a name

Events = Sequence[dict[str, Any]]


def main() -> None:
    """Extract with a trace unless there is one, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--trace", type=Path)
    parser.add_argument("--to", type=Path, default=PLOT)
    parser.add_argument("options", nargs="*", help="of `smp extract`, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trace = options.trace or _traced(Path(folder), options.dataset, options.options)
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    _draw(events, options.to)
    print(f"drawn to {options.to}")


def _traced(folder: Path, dataset: Path | None, options: Sequence[str]) -> Path:
    if dataset is None:
        dataset = folder / "sample"
        subprocess.run([SMP, "sample", str(dataset)], check=True)
    trace = folder / "trace.json"
    where = ("--cache", str(folder / "cache"), "--trace", str(trace))
    subprocess.run([SMP, "extract", str(dataset), *where, *options], check=True)
    return trace


def _draw(events: Events, to: Path) -> None:
    slices = [event for event in events if event["ph"] == "X"]
    rows = sorted({(event["pid"], event["tid"]) for event in slices})
    figure, (above, cores, memory) = plt.subplots(
        3,
        1,
        sharex=True,
        figsize=(12, 2.6 + 0.45 * len(rows)),
        height_ratios=[0.45 * len(rows) + 0.4, 1, 1],
        layout="constrained",
    )
    _draw_rows(above, slices, rows)
    above.set_yticks(range(len(rows)), [_name(events, row) for row in rows])
    above.invert_yaxis()
    _draw_counter(cores, events, "cores", "cores busy")
    _draw_counter(memory, events, "memory", "MB")
    memory.set_xlabel("seconds")
    shown = {event["name"] for event in slices}
    marks = {**COLOURS, **WAITING}
    legend = [
        Patch(facecolor=colour, edgecolor="grey", label=name)
        for name, colour in marks.items()
        if name in shown
    ]
    figure.legend(handles=legend, loc="outside upper center", ncols=len(legend), frameon=False)
    figure.savefig(to, dpi=110)


def _draw_rows(axes: Axes, slices: Events, rows: Sequence[tuple[int, int]]) -> None:
    whole_s = max(event["ts"] + event["dur"] for event in slices) / 1e6
    for event in slices:
        row = rows.index((event["pid"], event["tid"]))
        begin_s, seconds, name = event["ts"] / 1e6, event["dur"] / 1e6, event["name"]
        if event["cat"] != "step":
            colour = COLOURS.get(name, "lightgrey")
            axes.barh(row, seconds, 0.8, begin_s, color=colour, edgecolor="white", linewidth=0.5)
        elif name in WAITING:
            axes.barh(row, seconds, 0.3, begin_s, color=WAITING[name])
        elif row == 0:
            axes.barh(row, seconds, 0.8, begin_s, color="lightgrey", edgecolor="white")
            if seconds > LABELLED * whole_s:
                axes.text(begin_s, row, f" {name}", va="center", fontsize=6)


def _name(events: Events, row: tuple[int, int]) -> str:
    named = {(e["name"], e["pid"], e["tid"]): e["args"]["name"] for e in events if e["ph"] == "M"
             and "name" in e["args"]}  # fmt: skip
    process = named["process_name", *row].split(" (")[0]
    return f"{process}: {named['thread_name', *row]}"


def _draw_counter(axes: Axes, events: Events, name: str, label: str) -> None:
    """The sum over all processes, each as it was last seen."""
    seen = sorted((e for e in events if e["ph"] == "C" and e["name"] == name), key=_when)
    last: dict[int, float] = {}
    times_s, sums = [], []
    for event in seen:
        last[event["pid"]] = next(iter(event["args"].values()))
        times_s.append(event["ts"] / 1e6)
        sums.append(sum(last.values()))
    axes.fill_between(times_s, sums, step="post", color="steelblue", alpha=0.5)
    axes.set_ylabel(label)
    axes.set_ylim(0, None)


def _when(event: dict[str, Any]) -> float:
    return float(event["ts"])


if __name__ == "__main__":
    main()
