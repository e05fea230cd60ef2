"""What a layer or a step frees and the next one takes again."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

TAKEN_AGAIN = """
import resource
import numpy as np
from pipeline.system import memory

def faults(steps):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        kept = [np.ones(mib << 17) for mib in {mib}]
        del kept
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{call}
faults(2)
print(faults(10))
"""
OF_LAYERS, OF_STEPS = (10, 20, 20), (10, 50)  # MiB
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"),
    reason="glibc's malloc",
)


def faults(mib: tuple[int, ...], call: str, **set_by_dask: str) -> int:
    """Page faults of ten steps that take and free so much."""
    script = TAKEN_AGAIN.format(mib=mib, call=call)
    others = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    return int(
        subprocess.check_output([sys.executable, "-c", script], env={**others, **set_by_dask})
    )


def test_a_training_takes_again_what_it_freed_without_page_faults():
    assert faults(OF_STEPS, "memory.keep_freed_steps()") < faults(OF_STEPS, "") / 10


def test_a_worker_process_takes_again_what_it_freed_though_dask_has_it_give_all_back():
    by_dask = {"MALLOC_TRIM_THRESHOLD_": "65536"}
    given_back = faults(OF_LAYERS, "", **by_dask)
    assert faults(OF_LAYERS, "memory.keep_freed_layers()", **by_dask) < given_back / 10
