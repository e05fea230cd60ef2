"""SMP on CMU-MOSI's transcripts: frozen features of MiniLM against an encoder that learns too."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.mosi_text import DATASET, transcripts
from model.data.samples import Samples, load_samples
from model.experiments.bootstrap import Answers, interval, p_value, resampled
from model.finetune.text_stage import with_tokens
from model.objectives.choose import objective_of
from model.training.loop import Trained, in_columns
from model.training.presets import preset
from model.training.seeds import train_seeds

WAYS: dict[str, dict[str, Any]] = {  # what is set beside SMP's preset; nothing of it was searched
    "frozen": {},
    "LoRA": {"batch": 16, "finetune": {"rank": 8, "lr": 4e-4}},
    "all weights": {"batch": 16, "finetune": {"lr": 2e-5}},
}
METRICS = {"acc2": 100, "corr": 1, "mae": 1}


def main() -> None:
    """Print both on test, and the paired differences with their 95 % intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mosi", type=Path, default=DATASET, help="folder with label.csv")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8, help="of an encoder that learns")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS)[1:], default=["LoRA"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not (cache := transcripts(options.mosi, Path(folder))):
            return
        samples = with_tokens(load_samples(cache), cache)
        told = {w: _trained(samples, w, options) for w in ("frozen", *options.ways)}
    _print_differences(told, samples)


def _trained(samples: Samples, way: str, options: argparse.Namespace) -> np.ndarray:
    """What each seed says of the test clips, [seeds, clips, 1]."""
    given = {**WAYS[way], "device": "cpu"}
    few = {"epochs": options.epochs} if "finetune" in given else {}
    settings = preset("smp", "mosi").with_options({**given, **few})
    started = time.perf_counter()
    found = train_seeds(samples, settings, range(options.seeds), _kept)
    seconds = time.perf_counter() - started
    for key in METRICS:
        values = [metrics[key] for _, metrics, _ in found]
        print(f"{way:<12}{key:<5} {np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}")
    epochs = ", ".join(f"{best} of {of}" for *_, (best, of) in found)
    print(f"{way:<12}best epochs {epochs}; {seconds:.0f} s", flush=True)
    return np.stack([said for said, *_ in found])


def _kept(trained: Trained) -> tuple[np.ndarray, dict[str, float], tuple[int, int]]:
    said = in_columns(trained.predictions["test"])
    return said, dict(trained.metrics["test"]), (trained.best_epoch, len(trained.curve))


def _print_differences(told: dict[str, np.ndarray], samples: Samples) -> None:
    """By a paired bootstrap over test clips and seeds."""
    objective = objective_of(samples.targets)
    truth = objective.truth(samples.split("test").labels)
    rows = np.arange(len(truth))
    frozen, *others = resampled([Answers(rows, own) for own in told.values()], truth, objective)
    for way, own in zip(list(told)[1:], others, strict=True):
        for key, unit in METRICS.items():
            less = (own[key] - frozen[key]) * unit
            low, high = interval(less)
            ends = f"[{low:+.3f}, {high:+.3f}]  p {p_value(less):.4f}"
            print(f"{way} - frozen: {key:<5}{less.mean():+.3f}  {ends}")


if __name__ == "__main__":
    main()
