"""What a clip costs, and what memory it takes, as there are more of them.

`python -m benchmarks.scale` extracts 50, 200, 500 and 2,000 short clips of real faces with the
sample's small random networks, each number in a process of its own which has extracted a few clips
before, so that libraries and networks are loaded. Cost is time of the processor, which other work
on the machine distorts least, beside that of the clock. Memory is the most that the process ever
held.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.short_clips import SECONDS, write_copies, write_originals
from pipeline.dag.plan import StagePlan
from pipeline.runner.dask_engine import DaskEngine
from pipeline.runner.extract import RunOptions, extract
from pipeline.runner.types import Engine, Outcome
from pipeline.system import resources
from pipeline.system.utilisation import busy

SIZES = (50, 200, 500, 2000)
PARTITION = 32
WARM_UP, WARM_UP_PARTITION = 24, 2  # many small tasks, so that every worker has its share
MEMORY_GROWTH, MEMORY_GB = 1.3, 4.0


@dataclass(frozen=True)
class Run:
    """One extraction. peak_mb: of the process that it ran in, since that began."""

    clips: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    busy: float

    def __str__(self) -> str:
        wall_ms, cpu_ms = (1e3 * s / self.clips for s in (self.wall_s, self.cpu_s))
        return f"{self.clips:>6,}{wall_ms:>14.1f}{cpu_ms:>13.1f}{100 * self.busy:>9.0f} %"


def main() -> None:
    """All of it, or one number of clips in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(asdict(_in_threads(options.one))))
        return
    print(f"clips of {SECONDS} s; {resources.cores()} cores, load {os.getloadavg()[0]:.1f} before")
    print(f"{'clips':>6}{'wall ms/clip':>14}{'CPU ms/clip':>13}{'busy':>11}{'peak MB':>9}", end="")
    print(f"{'cost':>7}{'memory':>8}   as ratios to the first line")
    runs: list[Run] = []
    for clips in options.sizes:
        runs.append(_in_own_process(clips))
        first, last = runs[0], runs[-1]
        cost = last.cpu_s / last.clips / (first.cpu_s / first.clips)
        print(f"{last}{last.peak_mb:>9.0f}{cost:>7.2f}{last.peak_mb / first.peak_mb:>8.2f}")
    growth = max(run.peak_mb for run in runs) / runs[0].peak_mb
    largest_gb = max(run.peak_mb for run in runs) / 1e3
    kept = growth <= MEMORY_GROWTH and largest_gb <= MEMORY_GB
    print(
        f"memory: {growth:.2f} times, at most {largest_gb:.2f} GB; limits {MEMORY_GROWTH} and "
        f"{MEMORY_GB:g} GB: {'kept' if kept else 'OVER'}"
    )


def _in_own_process(clips: int) -> Run:
    command = [sys.executable, "-m", "benchmarks.scale", "--one", str(clips)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def _in_threads(clips: int) -> Run:
    """Warm up, then extract so many clips, on this process's threads."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        originals = write_originals(root / "originals")
        warm_up = write_copies(root / "few", originals, WARM_UP, WARM_UP_PARTITION)
        manifest = write_copies(root / "all", originals, clips, PARTITION)
        extracted(warm_up, DaskEngine())
        return extracted(manifest, DaskEngine())


def extracted(manifest: Path, engine: Engine, cache: str = "cache") -> Run:
    """Timed from where the plan is made to the last outcome."""
    root, clock, traced = manifest.parent, _Clock(), RunOptions(traced=True)
    done = extract(manifest, root / "stages.yaml", engine, str(root / cache), traced, clock)
    wall_s, cpu_s = time.perf_counter() - clock.wall_s, _cpu_s() - clock.cpu_s
    for outcome in done.outcomes:
        assert not outcome.error, outcome.error
        assert outcome.counts == {"ok": outcome.rows}, outcome
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return Run(done.clips, wall_s, cpu_s, peak_mb, busy(done.recordings)[-1].share)


class _Clock:
    """What the clocks said when the plan was made."""

    def planned(self, plans: Sequence[StagePlan]) -> None:
        self.wall_s, self.cpu_s = time.perf_counter(), _cpu_s()

    def finished(self, outcome: Outcome) -> None:
        pass


def _cpu_s() -> float:
    """Seconds of the processor that this process and its workers have used."""
    this = psutil.Process()
    used = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    return sum(times.user + times.system for times in used)


if __name__ == "__main__":
    main()
