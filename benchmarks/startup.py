"""How long commands take that compute nothing, beside a Python that does nothing at all.

`python -m benchmarks.startup` prints, for each command, the least of `REPEATS` runs that took
turns, as it was and as a ratio to `python -c pass`; of the time of the processor too. The goals are
held against the latter, which is what a command takes where nothing else runs. What `smp predict`
imports, the networks of all stages, is held against the libraries that these can't do without.
"""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipeline.runner.extract import extract
from pipeline.runner.serial import run_serially

REPEATS = 7
CLIPS = 2_000
LIBRARIES = "import torch, torchvision; from transformers import BertModel, Wav2Vec2Model"
NETWORKS = """
from pipeline.encoders import bert, py_feat_random, resnet18, wav2vec2
from pipeline.faces import mtcnn
"""
OVER_LIBRARIES = 1.3
SMP = str(Path(sys.executable).parent / "smp")
ROOT = Path(__file__).parent.parent


def main() -> None:
    """Make a cache of many clips, then time each command in turn."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        dataset, cache = _extracted(root), f"--cache={root / 'cache'}"
        goals: dict[str, tuple[list[str], float | None]] = {
            "python -c pass": ([sys.executable, "-c", "pass"], None),
            "smp --help": ([SMP, "--help"], 0.5),
            "smp status": ([SMP, "status", str(dataset), cache], 1.5),
            "smp extract --plan": (
                [SMP, "extract", str(dataset), cache, "--plan", "--trust"],
                None,
            ),
            "libraries": ([sys.executable, "-c", LIBRARIES], None),
            "all networks": ([sys.executable, "-c", NETWORKS], None),
        }
        times = {name: [(float("inf"), float("inf"))] for name in goals}
        for _ in range(REPEATS):
            for name, (command, _) in goals.items():
                times[name].append(_timed(command))
    least = {
        name: [min(column) for column in zip(*runs, strict=True)] for name, runs in times.items()
    }
    base_wall, base_cpu = least["python -c pass"]
    print(f"{CLIPS:,} clips; the least of {REPEATS} runs; load {os.getloadavg()[0]:.1f}")
    print(f"{'command':<20}{'wall s':>8}{'ratio':>7}{'CPU s':>8}{'ratio':>7}{'goal s':>8}")
    for name, (wall, cpu) in least.items():
        goal = goals[name][1]
        told = "" if goal is None else f"{goal:>8.1f} {'kept' if cpu <= goal else 'OVER'}"
        print(f"{name:<20}{wall:>8.2f}{wall / base_wall:>7.1f}", end="")
        print(f"{cpu:>8.2f}{cpu / base_cpu:>7.1f}{told}")
    over = least["all networks"][1] / least["libraries"][1]
    kept = "kept" if over <= OVER_LIBRARIES else "OVER"
    print(f"all networks over the libraries that they need: {over:.2f}   {OVER_LIBRARIES}: {kept}")


def _timed(command: list[str]) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _extracted(root: Path) -> Path:
    """A manifest of texts, with a stage beside it that computes next to nothing, done."""
    with (root / "texts.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "text", "label", "split"])
        rows.writerows([f"{i:05d}", f"what clip {i} says", 0.0, "train"] for i in range(CLIPS))
    (root / "stages.yaml").write_text("stages: {trivial: {extractor: benchmarks.trivial}}\n")
    extract(root / "texts.csv", root / "stages.yaml", run_serially, str(root / "cache"))
    return root / "texts.csv"


if __name__ == "__main__":
    main()
