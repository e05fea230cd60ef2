"""What commands cost that compute nothing, at 10,000, 50,000 and 200,000 clips of text alone.

`python -m benchmarks.scale_texts` makes a cache of so many texts with one stage that computes next
to nothing, and runs each command on it twice, of which the lesser counts: time of the processor,
which other work distorts least, and the most memory held. The goals are those of 200,000.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.command import SMP, Cost, cost
from pipeline.runner.extract import extract
from pipeline.runner.serial import run_serially

SIZES = (10_000, 50_000, 200_000)
GOALS_CPU_S = {"extract": 5.0, "status": 2.0, "report": 10.0}
GOALS_MB = {"extract": 500.0}
RUNS = 2


def main() -> None:
    """All sizes, or the cache of one in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--make", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        write_cache(options.root, options.make)
        return
    print(f"one stage, the lesser of {RUNS} runs; load {os.getloadavg()[0]:.1f}")
    print(f"{'clips':>9}  {'command':<10}{'CPU s':>7}{'goal':>6}{'peak MB':>9}{'goal':>6}")
    for clips in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            made = ["--make", str(clips), "--root", folder]
            cost([sys.executable, "-m", "benchmarks.scale_texts", *made])
            for name, its in _costs(Path(folder)).items():
                print(f"{clips:>9,}  {name:<10}{its.cpu_s:>7.2f}", end="")
                print(_held(its.cpu_s, GOALS_CPU_S.get(name), clips), end="")
                print(f"{its.peak_mb:>9.0f}{_held(its.peak_mb, GOALS_MB.get(name), clips)}")


def write_cache(root: Path, clips: int) -> None:
    """A manifest of texts with scores and splits, extracted."""
    with (root / "texts.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "text", "label", "split"])
        splits = ("train", "train", "train", "valid", "test")
        rows.writerows(
            [f"{i:06d}", f"what clip {i} says", i % 7 - 3, splits[i % 5]] for i in range(clips)
        )
    (root / "stages.yaml").write_text("stages: {trivial: {extractor: benchmarks.trivial}}\n")
    extract(root / "texts.csv", root / "stages.yaml", run_serially, str(root / "cache"))


def _costs(root: Path) -> dict[str, Cost]:
    table, cache = str(root / "texts.csv"), f"--cache={root / 'cache'}"
    commands = {
        "extract": [SMP, "extract", table, cache, "--stages", str(root / "stages.yaml")],
        "status": [SMP, "status", table, cache],
        "report": [SMP, "report", table, cache, f"--runs={root / 'runs'}"],
    }
    costs: dict[str, Cost] = {}
    for _ in range(RUNS):
        for name, command in commands.items():
            found = cost(command)
            costs[name] = found.least(costs.get(name, found))
    return costs


def _held(figure: float, goal: float | None, clips: int) -> str:
    """The goal beside what was measured, where it is set."""
    if goal is None or clips < SIZES[-1]:
        return " " * 6
    return f"{goal:>6g}{' OVER' if figure > goal else ''}"


if __name__ == "__main__":
    main()
