"""How long commands take that compute nothing, beside a Python that does nothing at all.

`python -m benchmarks.startup` prints, for each command, the least of `REPEATS` runs that took
turns, as it was and as a ratio to `python -c pass`; of the time of the processor too. The goals are
held against the latter, which is what a command takes where nothing else runs. `smp predict` of one
short clip with small random networks, and what it imports, the networks of all stages, are held
against the libraries that these can't do without.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.command import SMP, Cost, cost
from benchmarks.short_clips import write_copies, write_originals
from pipeline.dataset.clip import SPLITS
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
            "smp predict": ([SMP, "predict", *_trained(root / "trained")], None),
        }
        least: dict[str, Cost] = {}
        for _ in range(REPEATS):
            for name, (command, _) in goals.items():
                found = cost(command)
                least[name] = found.least(least.get(name, found))
    base = least["python -c pass"]
    print(f"{CLIPS:,} clips; the least of {REPEATS} runs; load {os.getloadavg()[0]:.1f}")
    print(f"{'command':<20}{'wall s':>8}{'ratio':>7}{'CPU s':>8}{'ratio':>7}{'goal s':>8}")
    for name, its in least.items():
        goal = goals[name][1]
        told = "" if goal is None else f"{goal:>8.1f} {'kept' if its.cpu_s <= goal else 'OVER'}"
        print(f"{name:<20}{its.wall_s:>8.2f}{its.wall_s / base.wall_s:>7.1f}", end="")
        print(f"{its.cpu_s:>8.2f}{its.cpu_s / base.cpu_s:>7.1f}{told}")
    for name in ("all networks", "smp predict"):
        over = least[name].cpu_s / least["libraries"].cpu_s
        kept = "kept" if over <= OVER_LIBRARIES else "OVER"
        print(f"{name} over the libraries that they need: {over:.2f}   {OVER_LIBRARIES}: {kept}")


def _trained(root: Path) -> list[str]:
    """A run on six short clips with small random networks, and a clip to predict: the arguments."""
    manifest = write_copies(root, write_originals(root / "originals"), len(SPLITS) * 2, 3)
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with manifest.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        for i, row in enumerate(rows):
            table.writerow({**row, "label": i % 3 - 1, "split": SPLITS[i // 2]})
    where, runs = (str(manifest), f"--cache={root / 'cache'}"), root / "runs"
    for command in (["extract", *where], ["train", *where, f"--runs={runs}", "--epochs=1"]):
        subprocess.run([SMP, *command], check=True, capture_output=True)
    [run] = runs.iterdir()
    return [str(run), rows[0]["video"], "--text", rows[0]["text"]]


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
