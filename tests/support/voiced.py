"""Sound with a pitch."""

import numpy as np


def voiced(seconds: float, hz: float = 140) -> np.ndarray:
    """int16 at 16 kHz: a buzz with overtones that swells and fades, in noise."""
    t = np.arange(round(16_000 * seconds)) / 16_000
    noise = np.random.default_rng(0).normal(0, 0.02, len(t))
    tone = sum(np.sin(2 * np.pi * k * hz * t) / k for k in range(1, 9))
    return ((0.2 * tone * np.sin(2 * np.pi * t) ** 2 + noise) * 20_000).astype(np.int16)
