"""The names of the models, told without importing any."""

from __future__ import annotations

import pkgutil

from model import baselines


def names() -> list[str]:
    """Every model there is."""
    return ["smp", *sorted(module.name for module in pkgutil.iter_modules(baselines.__path__))]
