"""What networks take in a worker process that keeps what it frees, and as dask would have it."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.networks import OF_FACES, SUBJECTS, loaders
from pipeline.encoders.few_at_once import PICTURES, FewAtOnce
from pipeline.encoders.py_feat import FACES
from pipeline.system.memory import keep_freed_layers

BY_DASK = {"MALLOC_TRIM_THRESHOLD_": "65536"}  # in the environment of its worker processes
WAYS = ("as dask sets it", "kept")
ROUNDS = 3


def main() -> None:
    """Run each network in a process of its own, both ways by turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(SUBJECTS))
    parser.add_argument("--way", choices=WAYS, help="run the first network once, this way")
    options = parser.parse_args()
    if options.way is not None:
        print(json.dumps(times(options.way, options.networks[0])))
        return
    print("one thread, the least of several runs; milliseconds of the processor an item")
    print(
        f"{'':<14}{WAYS[0]:>17}{'system':>8}{'MB':>7}{WAYS[1]:>10}{'system':>8}{'MB':>7}{'ratio':>8}"
    )
    for name in options.networks:
        given_back, kept = (_in_a_process(way, name) for way in WAYS)
        told = "".join(
            f"{took[0]:>{width}.1f}{took[1]:>8.1f}{took[2]:>7.0f}"
            for width, took in ((17, given_back), (10, kept))
        )
        print(f"{name:<14}{told}{given_back[0] / kept[0]:>7.2f}×", flush=True)


def _in_a_process(way: str, name: str) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.freed_memory", name, "--way", way]
    told = subprocess.check_output(command, text=True, env={**os.environ, **BY_DASK})
    found: list[float] = json.loads(told)
    return found


def times(way: str, name: str) -> list[float]:
    """Milliseconds an item takes, how many are the system's, and MB that the process came to."""
    torch.set_num_threads(1)
    if way == "kept":
        keep_freed_layers()
    subject = SUBJECTS[name]
    with tempfile.TemporaryDirectory() as folder:
        network, x = loaders(Path(folder))[name](), subject.probes()[0]
    if subject.shapes == OF_FACES:
        network, x = FewAtOnce(network), x.repeat(FACES // PICTURES, 1, 1, 1)
    took = []
    with torch.inference_mode():
        for _ in range(1 + ROUNDS):
            started, of_system = time.process_time(), os.times().system
            network(x)
            took.append((time.process_time() - started, os.times().system - of_system))
    least = [seconds / len(x) * 1e3 for seconds in min(took[1:])]
    return [*least, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]


if __name__ == "__main__":
    main()
