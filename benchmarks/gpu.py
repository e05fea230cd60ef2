"""What only a CUDA device can answer, in at most eight minutes: agreement, speed, waits, faults.

Each part has a limit of its own and costs itself alone; it prints what it finds as it finds it.
`--device cpu --quick` rehearses all of it without a device. Where there is no network, `make
gpu-pack` makes the packages to take along.
"""

from __future__ import annotations

import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
import torch

from benchmarks import gpu_faults, gpu_stages, gpu_training
from benchmarks.gpu_device import Device
from pipeline.system.device import require

Part = Callable[[Device], Iterator[str]]
PARTS: dict[str, tuple[int, Part]] = {  # limits in seconds
    "ceilings": (20, Device.ceilings),
    "faces": (100, gpu_stages.faces),
    "networks": (100, gpu_stages.networks),
    "training": (120, gpu_training.training),
    "whole extraction": (60, gpu_faults.whole_extraction),
    "little memory": (40, gpu_faults.little_memory),
    "tests": (40, gpu_faults.tests),
}


@click.command()
@click.option("--device", default="cuda", show_default=True)
@click.option("--quick", is_flag=True, help="Little of everything, without a limit.")
@click.option("--only", type=click.Choice(list(PARTS)), multiple=True, help="This part.")
def main(device: str, quick: bool, only: tuple[str, ...]) -> None:
    """Run every part; exit code 1 if one fails."""
    where = Device(require(device), quick)
    print(f"torch {torch.__version__}, {where.name}", flush=True)
    failed = [name for name in only or PARTS if not _done(name, where)]
    if failed:
        print(f"failed: {', '.join(failed)}")
        sys.exit(1)


def _done(name: str, where: Device) -> bool:
    limit_s, part = PARTS[name]
    began, fine = time.perf_counter(), True
    print(f"\n{name}", flush=True)
    try:
        with torch.random.fork_rng([]), _at_most(0 if where.quick else limit_s):
            for line in part(where):
                print(f"  {line}", flush=True)
    except Exception:  # whatever it is, it must not cost the other parts
        print(f"  {traceback.format_exc()}", flush=True)
        fine = False
    print(f"  ({time.perf_counter() - began:.0f} of {limit_s} s)", flush=True)
    return fine


@contextmanager
def _at_most(limit_s: int) -> Iterator[None]:
    def over(*_: object) -> None:
        raise TimeoutError(f"stopped after {limit_s} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(limit_s)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    main()
