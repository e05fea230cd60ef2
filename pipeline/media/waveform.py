"""Mono sound as arrays: its rate and type, resampling, level and place in time."""

from __future__ import annotations

import numpy as np

from pipeline.errors import MissingModalityError

RATE_HZ = 16_000
FULL_SCALE = 32_768
SILENCE = 0.5 / FULL_SCALE  # what no 16-bit sample can hold

LACK_S = 0.05  # sound that ends no more than this before the picture is as long as the picture


def placed(samples: np.ndarray, late_s: float, duration_s: float) -> np.ndarray:
    """The samples [n] that are heard within `duration_s`, where the first is heard at `late_s`.

    What comes before and after is trimmed, what is missing is zero. Raises MissingModalityError
    where nothing is left.
    """
    late, length = round(late_s * RATE_HZ), round(duration_s * RATE_HZ)
    kept = samples[max(-late, 0) : max(length - late, 0)]
    if not kept.size:
        raise MissingModalityError("no sound while the picture lasts")
    before = max(late, 0)
    after = length - before - len(kept)
    return np.pad(kept, (before, after if after > LACK_S * RATE_HZ else 0))


def resampled(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """`samples` [n] at `rate_hz` as float32 [ceil(16000 n / rate)] at 16 kHz, each at its time.

    soxr's quality HQ: aliases are 125 dB down, 7.4 of 8 kHz are kept.
    """
    # Imported here: planning a run does without.
    import soxr

    samples = samples.astype(np.float32)
    if rate_hz == RATE_HZ:
        return samples
    length = -(-len(samples) * RATE_HZ // rate_hz)
    # soxr rounds the length; what is a part of a sample at the end is one here.
    filled = np.pad(samples, (0, -(-rate_hz // RATE_HZ)))
    return np.asarray(soxr.resample(filled, rate_hz, RATE_HZ, quality="HQ")[:length])


def normalised(samples: np.ndarray, level_dbfs: float = -3.0) -> np.ndarray:
    """`samples` as int16 with their peak at `level_dbfs`; zeros where there is only silence."""
    peak = np.abs(samples).max()
    if peak < SILENCE:
        return np.zeros(samples.shape, np.int16)
    gain = 10 ** (level_dbfs / 20) * FULL_SCALE / float(peak)
    return np.rint(samples * np.float64(gain)).astype(np.int16)
