"""Two worker processes against one over the same short clips: how well extraction scales.

`python -m benchmarks.workers` lets the workers load libraries and networks with a few clips first,
then times several runs and takes the fastest of each. Beside the clock's efficiency it prints that
by the time of the processor (what a clip costs with one worker, as a share of what it costs with
two), which other work on the machine distorts least: the rest is waiting.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from distributed import LocalCluster

from benchmarks.scale import WARM_UP, WARM_UP_PARTITION, Run, extracted
from benchmarks.short_clips import write_copies, write_originals
from pipeline.runner.dask_engine import DaskEngine

CLIPS, PARTITION = 128, 8
REPEATS = 2
GOAL = 0.8


def main() -> None:
    """Run with one worker and with two, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=CLIPS)
    clips = parser.parse_args().clips
    print(f"{clips} clips in partitions of {PARTITION}; load {os.getloadavg()[0]:.1f} before")
    print(f"{'workers':<8}{'clips':>6}{'wall ms/clip':>14}{'CPU ms/clip':>13}{'busy':>11}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        originals = write_originals(root / "originals")
        warm_up = write_copies(root / "few", originals, WARM_UP, WARM_UP_PARTITION)
        manifest = write_copies(root / "all", originals, clips, PARTITION)
        runs = {workers: _fastest(workers, warm_up, manifest) for workers in (1, 2)}
    for workers, run in runs.items():
        print(f"{workers:<8}{run}")
    wall = runs[1].wall_s / runs[2].wall_s / 2
    cpu = runs[1].cpu_s / runs[2].cpu_s
    kept = "kept" if wall >= GOAL else "UNDER"
    print(f"efficiency by the clock {wall:.2f}, goal {GOAL:g}: {kept}; ", end="")
    print(f"by the processor {cpu:.2f}; load {os.getloadavg()[0]:.1f} after")


def _fastest(workers: int, warm_up: Path, manifest: Path) -> Run:
    """Of a few runs, on workers that have loaded everything."""
    with LocalCluster(
        n_workers=workers, threads_per_worker=1, memory_limit=0, dashboard_address=None
    ) as cluster:
        engine = DaskEngine(scheduler=cluster.scheduler_address)
        extracted(warm_up, engine, f"warm-{workers}")
        runs = [extracted(manifest, engine, f"{workers}-{repeat}") for repeat in range(REPEATS)]
    return min(runs, key=lambda run: run.wall_s)


if __name__ == "__main__":
    main()
