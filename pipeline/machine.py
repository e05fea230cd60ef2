"""What this process may use of the machine: cores, memory, the network."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # bytes; what systems write where there is no limit is larger
WAIT_S = 3.0


def cores() -> int:
    """How many may be used: fewer than there are where a container or a scheduler says so."""
    there = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    return max(1, min(there, allowed, _quota() or there))


def free_bytes() -> int | None:
    """Memory that is free, within the limit of a container; None where nobody tells."""
    free = None
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024 * next(int(x.split()[1]) for x in lines if x.startswith("MemAvailable:"))
    limit = _number("memory.max") or _number("memory/memory.limit_in_bytes")
    used = _number("memory.current") or _number("memory/memory.usage_in_bytes")
    if limit is None or limit > UNLIMITED:
        return free
    left = max(0, limit - (used or 0))
    return left if free is None else min(free, left)


def answers(url: str) -> bool:
    """Whether something answers there within a few seconds, whatever it says."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=WAIT_S):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def _quota() -> int | None:
    """Whole cores' worth of time that a container may take, at least one."""
    with suppress(OSError, ValueError):
        share, period = (CGROUP / "cpu.max").read_text().split()
        return max(1, int(share) // int(period))
    share_v1, period_v1 = _number("cpu/cpu.cfs_quota_us"), _number("cpu/cpu.cfs_period_us")
    if share_v1 and period_v1 and share_v1 > 0:
        return max(1, share_v1 // period_v1)
    return None


def _number(name: str) -> int | None:
    """A number in the control group's files, None where there is none."""
    with suppress(OSError, ValueError):
        return int((CGROUP / name).read_text())
    return None
