"""What a step frees and the next one takes again."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

STEPS = """
import resource
import numpy as np
from model.step.memory import keep_freed_memory

def faults(steps):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        kept = [np.ones(5 << 18), np.ones(25 << 18)]  # 10 and 50 MiB
        del kept
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if %r:
    keep_freed_memory()
faults(2)
print(faults(10))
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"),
    reason="glibc's malloc",
)
def test_freed_memory_is_had_again_without_page_faults():
    given_back, kept = (
        int(subprocess.check_output([sys.executable, "-c", STEPS % keeps])) for keeps in (0, 1)
    )
    assert kept < given_back / 10
