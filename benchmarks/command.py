"""A command's time and memory, of its own process alone, as after a first run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

SMP = str(Path(sys.executable).parent / "smp")
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Cost:
    """Seconds of the clock and of the processor; the most memory that the process held."""

    wall_s: float
    cpu_s: float
    peak_mb: float

    def least(self, other: Cost) -> Cost:
        """The lower of each: what else the machine does only adds."""
        return Cost(*map(min, vars(self).values(), vars(other).values()))


def cost(command: Sequence[str]) -> Cost:
    """Of one run, which has to succeed; what it prints is left out."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    wall_s = time.perf_counter() - began
    return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3)


@lru_cache(maxsize=1)
def _environment() -> dict[str, str]:
    """Bytecode is kept from run to run, whatever is set here: no user compiles it each time."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    here = {"PYTHONPYCACHEPREFIX": mkdtemp(prefix="smp-bytecode-")}
    return {**here, **kept, "PYTHONPATH": str(ROOT)}
