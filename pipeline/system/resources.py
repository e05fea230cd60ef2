"""What this process may use of the machine: cores, memory, the network."""

from __future__ import annotations

import math
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil

CGROUP = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
MOUNTS = {  # of version 1; the one below is of version 2, which may lie beside it
    "cpu": ("cpu", "cpu,cpuacct", "cpuacct,cpu"),
    "memory": ("memory",),
    "": (".", "unified"),
}
UNLIMITED = 1 << 60  # bytes; what systems write where there is no limit is larger
WAIT_S = 3.0


@dataclass(frozen=True)
class Cores:
    """Cores of the machine, those that this process may run on, and its share of their time.

    quota: in cores' worth of time, None where none is set.
    """

    there: int
    allowed: int
    quota: float | None = None

    @property
    def usable(self) -> int:
        """How many threads may compute at once; a core that is allowed in part counts."""
        return max(1, min(self.allowed, math.ceil(self.quota or self.allowed)))

    @property
    def limit(self) -> str:
        """What keeps this process from the other cores; "" where nothing does."""
        if self.usable == self.there:
            return ""
        if self.usable == self.allowed:
            return "processor affinity (taskset, a batch system or a container's set of processors)"
        return f"a control group's quota of {self.quota:.3g} cores (a container or a batch system)"


def cores() -> int:
    """How many threads may compute at once, within affinity and the control groups' quotas."""
    return cores_found().usable


def cores_found() -> Cores:
    """The same, with what limits it."""
    there = os.cpu_count() or 1
    # macOS and Windows have no such call.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    return Cores(there, min(there, allowed), min(_quotas(), default=None))


def free_bytes() -> int:
    """Memory that is free, within the limit of a container."""
    return min([int(psutil.virtual_memory().available), *_memory_left()])


def answers(url: str) -> bool:
    """Whether something answers there within a few seconds, whatever it says."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=WAIT_S):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def _quotas() -> Iterator[float]:
    """Cores' worth of time that this process's control groups may take."""
    for folder in _groups("cpu"):
        # Of version 2; "max" where there is no limit.
        with suppress(OSError, ValueError, ZeroDivisionError):
            share, period = map(int, (folder / "cpu.max").read_text().split())
            yield share / period
        share_v1, period_v1 = (_number(folder / f"cpu.cfs_{x}_us") for x in ("quota", "period"))
        if share_v1 and period_v1 and share_v1 > 0:
            yield share_v1 / period_v1


def _memory_left() -> Iterator[int]:
    """Bytes that this process's control groups may still take."""
    for folder in _groups("memory"):
        for most, now in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit = _number(folder / most)
            if limit is not None and limit <= UNLIMITED:
                yield max(0, limit - (_number(folder / now) or 0))


def _groups(controller: str) -> Iterator[Path]:
    """The folders of the control groups that this process is in, up to the root: all may limit it.

    In a container the path may be the host's, where only the root is to be seen.
    """
    lines = ["0::/", f"1:{controller}:/"]
    with suppress(OSError):
        lines += OWN_GROUPS.read_text().splitlines()
    found: dict[Path, None] = {}
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        if not path.startswith("/") or controller not in (controllers or controller).split(","):
            continue
        own = PurePosixPath(path)
        for mount in MOUNTS[controller if controllers else ""]:
            found |= {CGROUP / mount / p.relative_to("/"): None for p in (own, *own.parents)}
    yield from (folder for folder in found if folder.is_dir() and ".." not in folder.parts)


def _number(path: Path) -> int | None:
    """A number in a control group's file, None where there is none."""
    with suppress(OSError, ValueError):
        return int(path.read_text())
    return None
