"""From any number of rows to the common number of steps, the same way for every feature."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np

STEPS = 32
Sampling = Literal["uniform", "mean"]


def sample_indices(n: int, steps: int = STEPS) -> np.ndarray:
    """Which of `n` rows are kept: all of up to `steps`, else uniformly spaced ones, ends included.

    Returns int64 [min(n, steps)]. Source: Zhu and Yu, section IV-D.
    """
    if n <= steps:
        return np.arange(n)
    return np.round(np.linspace(0, n - 1, steps)).astype(np.int64)


def to_steps(rows: np.ndarray, sampling: Sampling = "uniform", steps: int = STEPS) -> np.ndarray:
    """At most `steps` of the rows of `[n, ...]`; shorter sequences come back as they are.

    "uniform" picks rows; "mean" averages `steps` equal windows of a longer sequence instead.
    """
    n = len(rows)
    if n <= steps or sampling == "uniform":
        return rows[sample_indices(n, steps)]
    bounds = np.linspace(0, n, steps + 1)
    return np.stack([_window_mean(rows, a, b) for a, b in pairwise(bounds)])


def _window_mean(rows: np.ndarray, start: float, stop: float) -> np.ndarray:
    """The mean of the half-open window [start, stop), rows at its edges weighted by their share."""
    first, last = int(np.floor(start)), int(np.ceil(stop))
    index = np.arange(first, min(last, len(rows)))
    share = np.minimum(index + 1, stop) - np.maximum(index, start)
    mean = np.tensordot(share / share.sum(), rows[index].astype(np.float64), axes=1)
    return mean.astype(rows.dtype)


def pad(rows: np.ndarray, steps: int = STEPS) -> np.ndarray:
    """`[n, ...]` with n ≤ steps to `[steps, ...]`, zeros after the real rows."""
    padded = np.zeros((steps, *rows.shape[1:]), rows.dtype)
    padded[: len(rows)] = rows
    return padded
