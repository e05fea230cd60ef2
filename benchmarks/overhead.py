"""What the pipeline itself costs: 10,000 clips through a stage that computes next to nothing.

`python -m benchmarks.overhead` prints a table and draws `benchmarks/overhead.png`. Time is that of
the processor, over all processes, as far as a limit is held against it: what else the machine does
distorts that least. The scheduling overhead of an engine is what a partition takes more than in the
plain loop; engines take turns, and the least of `REPEATS` runs counts.
"""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml
from distributed import Client, LocalCluster

from pipeline.dag.plan import StagePlan
from pipeline.runner.dask_engine import DaskEngine
from pipeline.runner.extract import extract
from pipeline.runner.serial import run_serially
from pipeline.runner.types import Engine, Outcome

CLIPS = 10_000
REPEATS = 3
BARE_TASKS = 300
PLOT = Path(__file__).with_suffix(".png")
LIMITS = {"planning s": 2.0, "scheduling overhead ms": 5.0, "no-op run s": 3.0}


@dataclass
class Measured:
    """One run. at_s, rss_mb: of each outcome, in the order in which they came."""

    began: float = field(default_factory=time.perf_counter)
    cpu_s: list[float] = field(default_factory=lambda: [_cpu_s()])
    partitions: int = 0
    at_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)

    def planned(self, plans: Sequence[StagePlan]) -> None:
        self.cpu_s.append(_cpu_s())
        self.partitions = sum(len(plan.tasks) for plan in plans)

    def finished(self, outcome: Outcome) -> None:
        assert not outcome.error, outcome.error
        if len(self.at_s) in (0, self.partitions - 1):  # the first brings imports with it
            self.cpu_s.append(_cpu_s())
        self.at_s.append(time.perf_counter() - self.began)
        self.rss_mb.append(psutil.Process().memory_info().rss / 1e6)

    @property
    def planning_s(self) -> float:
        return self.cpu_s[1] - self.cpu_s[0]

    @property
    def partition_ms(self) -> float:
        """Of the processor, for one partition."""
        return 1e3 * (self.cpu_s[3] - self.cpu_s[2]) / (len(self.at_s) - 1)

    @property
    def wall_ms(self) -> float:
        """From outcome to outcome."""
        return 1e3 * (self.at_s[-1] - self.at_s[0]) / (len(self.at_s) - 1)


def _bare_ms() -> float:
    """Processor milliseconds of a dask task that does nothing: the least that dask costs."""
    one = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(**one) as cluster, Client(cluster, set_as_default=False) as client:
        client.submit(len, "").result()
        began = _cpu_s()
        for _ in range(BARE_TASKS):
            client.submit(len, "", pure=False).result()
        return 1e3 * (_cpu_s() - began) / BARE_TASKS


def _cpu_s() -> float:
    """Seconds of the processor that this process and its workers have used."""
    this = psutil.Process()
    used = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    return sum(times.user + times.system for times in used)


def main() -> None:
    """Run every engine in turn, several times; then do nothing once more, as a user would."""
    engines: dict[str, Engine] = {
        "plain loop": run_serially,
        "dask, threads": DaskEngine(),
        "dask, a process": DaskEngine(workers=1),
    }
    with tempfile.TemporaryDirectory(dir=_memory_disk()) as folder:
        root = Path(folder)
        _write_dataset(root)
        runs: dict[str, list[Measured]] = {name: [] for name in engines}
        for repeat in range(REPEATS):
            for name, engine in engines.items():
                runs[name].append(_measure(root, engine, f"{name}-{repeat}"))
        idle_s = min(_idle_s(root) for _ in range(REPEATS))
        bare_ms = min(_bare_ms() for _ in range(REPEATS))
    _print(runs, idle_s)
    print(f"{'a bare dask task ms':<24}{bare_ms:>8.2f}")
    _plot(runs)


def _measure(root: Path, engine: Engine, cache: str) -> Measured:
    measured = Measured()
    extract(
        root / "clips.csv",
        root / "stages.yaml",
        engine,
        str(root / cache),
        listener=measured,
    )
    return measured


def _idle_s(root: Path) -> float:
    """Processor seconds of a whole `smp extract` that finds nothing to do."""
    where = ("--stages", str(root / "stages.yaml"), "--cache", str(root / "plain loop-0"))
    smp = Path(sys.executable).parent / "smp"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [str(smp), "extract", str(root / "clips.csv"), *where]
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert "Nothing to do" in told.stdout, told.stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _write_dataset(root: Path) -> None:
    with (root / "clips.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "text", "label", "split"])
        rows.writerows(
            [f"{i:05d}", f"what clip {i} says", i % 7 - 3, "train"] for i in range(CLIPS)
        )
    spec = {"stages": {"trivial": {"extractor": "benchmarks.trivial"}}}
    (root / "stages.yaml").write_text(yaml.safe_dump(spec))


def _memory_disk() -> str | None:
    """A disk in memory, where there is one: what a disk's fsync takes is not the question."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _print(runs: dict[str, list[Measured]], idle_s: float) -> None:
    least = {name: min(run.partition_ms for run in repeats) for name, repeats in runs.items()}
    base = least["plain loop"]
    partitions = len(runs["plain loop"][0].at_s)
    print(f"{CLIPS:,} clips, {partitions} partitions, the least of {REPEATS} runs")
    print(f"{'a partition':<18}{'CPU ms':>8}{'ratio':>8}{'overhead ms':>13}", end="")
    print(f"{'memory':>9}{'wall ms':>9}")
    for name, repeats in runs.items():
        growth = min(run.rss_mb[-1] / run.rss_mb[partitions // 10] for run in repeats)
        wall = min(run.wall_ms for run in repeats)
        print(
            f"{name:<18}{least[name]:>8.1f}{least[name] / base:>8.2f}"
            f"{least[name] - base:>13.1f}{growth:>9.3f}{wall:>9.1f}"
        )
    print("memory: at the end, as a ratio to that after a tenth of the partitions")
    planning_s = min(run.planning_s for repeats in runs.values() for run in repeats)
    figures = (planning_s, max(least.values()) - base, idle_s)
    for (what, limit), figure in zip(LIMITS.items(), figures, strict=True):
        kept = "kept" if figure <= limit else "OVER"
        print(f"{what:<24}{figure:>8.2f}   limit {limit:g}: {kept}")


def _plot(runs: dict[str, list[Measured]]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for name, repeats in runs.items():
        best = min(repeats, key=lambda run: run.partition_ms)
        left.plot([at - best.at_s[0] for at in best.at_s], label=name)
        memory = [rss for run in repeats for rss in run.rss_mb]
        right.plot(memory, label=name)
    left.set(xlabel="partitions done", ylabel="seconds since the first", title="Time")
    right.set(
        xlabel=f"partitions done, {REPEATS} runs", ylabel="MB", title="Memory", ylim=(0, None)
    )
    left.legend()
    figure.savefig(PLOT, dpi=110)


if __name__ == "__main__":
    main()
