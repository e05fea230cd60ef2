"""Features over the steps as a picture: every channel from its least to its most."""

from __future__ import annotations

import numpy as np

TALLEST_PX = 96


def heat(rows: np.ndarray, tallest: int = TALLEST_PX) -> np.ndarray:
    """`rows` [steps, channels] as float64 [≤ tallest, steps] of 0..1, the first channel on top.

    Each channel is scaled by its own least and most; one that stays the same is 0. Where there are
    more channels than `tallest`, neighbours are averaged.
    """
    least, most = rows.min(0), rows.max(0)
    scaled = (rows - least) / np.where(most > least, most - least, 1.0)
    channels = scaled.T.astype(np.float64)
    if len(channels) <= tallest:
        return channels
    bounds = np.linspace(0, len(channels), tallest, endpoint=False).astype(int)
    sums = np.add.reduceat(channels, bounds)
    counts = np.diff(bounds, append=len(channels))
    return np.asarray(sums / counts[:, None])
