"""What only a CUDA device can answer, in at most eight minutes: agreement, speed, waits, faults.

Each part has a limit and a process of its own, so that it costs itself alone, also where it hangs
or breaks the device; it prints what it finds as it finds it. `--device cpu --quick` rehearses all
of it without a device. Where there is no network, `make gpu-pack` makes the packages to take along.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

import click
import torch

from benchmarks import gpu_faults, gpu_stages, gpu_training
from benchmarks.gpu_device import Device
from pipeline.errors import UserError
from pipeline.system.device import require

Part = Callable[[Device], Iterator[str]]
PARTS: dict[str, tuple[int, Part]] = {  # limits in seconds; starting takes some too
    "ceilings": (20, Device.ceilings),
    "faces": (80, gpu_stages.faces),
    "networks": (90, gpu_stages.networks),
    "training": (110, gpu_training.training),
    "whole extraction": (60, gpu_faults.whole_extraction),
    "little memory": (50, gpu_faults.little_memory),
    "tests": (50, gpu_faults.tests),
}
FORK = get_context("fork")  # what is imported is there; no device is touched before


@click.command()
@click.option("--device", default="cuda", show_default=True)
@click.option("--quick", is_flag=True, help="Little of everything, without a limit.")
@click.option("--only", type=click.Choice(list(PARTS)), multiple=True, help="This part.")
def main(device: str, quick: bool, only: tuple[str, ...]) -> None:
    """Run every part; exit code 1 if one fails."""
    print(f"torch {torch.__version__}", flush=True)
    failed = [name for name in only or PARTS if not _done(name, Device(device, quick))]
    if failed:
        print(f"failed: {', '.join(failed)}")
        sys.exit(1)


def _done(name: str, where: Device) -> bool:
    limit_s, part = PARTS[name]
    print(f"\n{name}", flush=True)
    began, child = time.perf_counter(), FORK.Process(target=_print, args=(part, where))
    child.start()
    try:
        child.join(None if where.quick else limit_s)
        if child.is_alive():
            print(f"  stopped after {limit_s} s", flush=True)
    finally:
        _end(child)
    print(f"  ({time.perf_counter() - began:.0f} of {limit_s} s)", flush=True)
    return child.exitcode == 0


def _print(part: Part, where: Device) -> None:
    """What a part finds, line by line, in a process that leads a group of its own."""
    os.setpgid(0, 0)
    if not where.is_cuda:
        torch.set_num_threads(1)  # two that wait for each other on a busy machine take seconds
    try:
        require(where.device)
        for line in part(where):
            print(f"  {line}", flush=True)
    except UserError as error:
        sys.exit(f"  {error}")
    except Exception:
        sys.exit(traceback.format_exc())


def _end(child: BaseProcess) -> None:
    """With all that it has started, which would have the device else."""
    with suppress(ProcessLookupError):  # it has ended, as it should
        os.killpg(child.pid or 0, signal.SIGKILL)
    child.join()


if __name__ == "__main__":
    main()
