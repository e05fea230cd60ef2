"""How far apart two sides of a comparison are, told from chance."""

from __future__ import annotations

import numpy as np

from model.experiments.bootstrap import interval, p_value

UNITS = {"mae": 1, "corr": 1}  # the others in points


def told(key: str, more: np.ndarray) -> str:
    """A line: the mean of `more`, by resample, its 95 % interval and p. key: of which metric."""
    if np.isnan(more).any():  # a side that gives all clips one answer has no correlation
        return f"{key:<5}not defined: one answer for every clip"
    scaled = more * UNITS.get(key, 100)
    low, high = interval(scaled)
    return f"{key:<5}{scaled.mean():+.3f}  [{low:+.3f}, {high:+.3f}]  p {p_value(scaled):.4f}"
