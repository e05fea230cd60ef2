"""The plain loop against dask's threads over the sample: seconds a stage, and the ratio."""

from __future__ import annotations

import platform
import tempfile
from collections import defaultdict
from pathlib import Path

from pipeline.runner.dask_engine import DaskEngine
from pipeline.runner.extract import Extraction, extract
from pipeline.runner.serial import run_serially
from pipeline.runner.types import Engine
from pipeline.sample.write import write_sample
from pipeline.system import resources


def main() -> None:
    """Write the sample, extract it with either engine, print the table."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "sample"
        write_sample(dataset)
        engines: dict[str, Engine] = {
            "warm-up": run_serially,  # loads libraries and networks once for both
            "serial": run_serially,
            "threads": DaskEngine(),
        }
        runs = {
            name: extract(dataset, dataset / "stages.yaml", engine, f"{folder}/{name}")
            for name, engine in engines.items()
        }
    _print(runs["serial"], runs["threads"])


def _print(serial: Extraction, threads: Extraction) -> None:
    cores = resources.cores()
    print(f"{platform.processor() or platform.machine()}, {cores} cores, {serial.clips} clips")
    print(f"{'stage':<14}{'serial s':>10}{'threads s':>11}")
    of_threads = _by_stage(threads)
    for stage, seconds in _by_stage(serial).items():
        print(f"{stage:<14}{seconds:>10.2f}{of_threads[stage]:>11.2f}")
    print(f"{'whole run':<14}{serial.seconds:>10.2f}{threads.seconds:>11.2f}")
    print(f"threads are {serial.seconds / threads.seconds:.2f} times as fast as the plain loop")


def _by_stage(run: Extraction) -> dict[str, float]:
    seconds: dict[str, float] = defaultdict(float)
    for outcome in run.outcomes:
        seconds[outcome.stage] += outcome.seconds
    return seconds


if __name__ == "__main__":
    main()
