"""What each piece of the trainer's machinery brings: SMP trained without it, beside with all."""

from __future__ import annotations

import argparse
import inspect
import json
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import torch
from torch.nn import functional as F

from benchmarks.made_samples import made_samples
from model.step import adam, branches, dropout
from model.training import loop
from model.training.settings import TrainSettings
from pipeline.system.memory import keep_freed_steps

WITHOUT = {  # what is put where the piece is
    "branches": (
        "model.networks.smp.side_by_side",
        lambda given, small: [module(*inputs) for module, inputs in given],
    ),
    "dropout": (
        "model.step.dropout.Dropout.forward",
        lambda self, x: F.dropout(x, self.p, self.training),
    ),
    "adam": (
        "model.network.Adam",
        lambda given, lr, decay: torch.optim.Adam(given, lr, weight_decay=decay, fused=True),
    ),
    "memory": ("model.training.loop.keep_freed_steps", lambda: None),
}
PIECES: dict[str, Any] = {
    "branches": branches,
    "dropout": dropout,
    "adam": adam,
    "memory": keep_freed_steps,
}
SETTINGS = TrainSettings(epochs=3, device="cpu")
HEADINGS = f"{'without':<10}{'lines':>6}{'epoch s':>9}{'ratio':>7}{'processor s':>13}{'ratio':>7}"


def main() -> None:
    """Print how long an epoch takes, and how long it is to the first, without each in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of which the fastest counts")
    parser.add_argument("--without", help="train once, without this piece")
    options = parser.parse_args()
    if options.without is not None:
        print(json.dumps(train_without(options.without)))
        return
    best: dict[str, list[float]] = {}
    for _ in range(options.rounds):  # by turns, so that all meet the same neighbours
        for piece in ("nothing", *PIECES):
            found = _in_a_process(piece)
            best[piece] = [min(each) for each in zip(found, best.get(piece, found), strict=True)]
    print(HEADINGS + "  to the first epoch, processor s")
    for piece, (wall, processor, before) in best.items():
        lines = len(inspect.getsource(PIECES[piece]).splitlines()) if piece in PIECES else 0
        ratios = wall / best["nothing"][0], processor / best["nothing"][1]
        print(
            f"{piece:<10}{lines:>6}{wall:9.2f}{ratios[0]:7.2f}{processor:13.2f}{ratios[1]:7.2f}"
            f"{before:12.1f}"
        )


def _in_a_process(piece: str) -> list[float]:
    """Of its own: what is set for memory stays, and imports are paid once."""
    command = [sys.executable, "-m", "benchmarks.pieces", "--without", piece]
    found: list[float] = json.loads(subprocess.check_output(command, text=True))
    return found


def train_without(piece: str) -> list[float]:
    """The least seconds of an epoch, those of the processor, and the latter before the first."""
    if piece in WITHOUT:
        patch(*WITHOUT[piece]).start()
    samples = made_samples()
    started = time.process_time()
    ends: list[tuple[float, float]] = []
    loop.train(
        samples, SETTINGS, lambda row: ends.append((time.perf_counter(), time.process_time()))
    )
    spans = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(ends)]
    wall, processor = (min(each) for each in zip(*spans, strict=True))
    return [wall, processor, ends[0][1] - processor - started]


if __name__ == "__main__":
    main()
