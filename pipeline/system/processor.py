"""Which processor this is, and what it can do: what is measured on one says nothing of another."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from pathlib import Path

INFO = Path("/proc/cpuinfo")  # Linux alone tells more than a name
SAME = (
    "vendor_id", "cpu family", "model", "model name", "stepping", "flags",
    "CPU implementer", "CPU architecture", "CPU part", "Features",
)  # fmt: skip


@cache
def about() -> dict[str, str]:
    """What the system tells of its first processor, by the system's own names."""
    lines = INFO.read_text().partition("\n\n")[0].splitlines() if INFO.exists() else []
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}


def name() -> str:
    """As its maker calls it."""
    return about().get("model name") or platform.processor() or platform.machine()


def key() -> str:
    """The same on processors of one model with the same instructions, else another."""
    told = [platform.machine(), name(), *(about().get(line, "") for line in SAME)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]


def can(instructions: str) -> bool:
    """Whether it has those, by Linux's name; False where the system doesn't tell."""
    return instructions in about().get("flags", "").split()
