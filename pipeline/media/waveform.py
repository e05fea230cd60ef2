"""Mono sound as arrays: its rate and type, resampling, level and place in time."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np

from pipeline.errors import MissingModalityError
from pipeline.field import Field

RATE_HZ = 16_000
FULL_SCALE = 32_768
SILENCE = 0.5 / FULL_SCALE  # what no 16-bit sample can hold
SAMPLES = Field(("sample",), "int16", "16 kHz mono", ragged=True)

LACK_S = 0.05  # sound that ends no more than this before the picture is as long as the picture
STOP_DB = 96.0  # what 16 bits can tell from silence
FINEST = (
    50_000  # of the ratio of two rates; it is exact for all rates up to that, and 96 kHz and so on
)
PASSED = 0.92  # of the band below the Nyquist frequency: 7.36 of 8 kHz


def placed(samples: np.ndarray, late_s: float, duration_s: float) -> np.ndarray:
    """The samples [n] that are heard within `duration_s`, where the first is heard at `late_s`.

    What comes before and after is cut, what lacks is zero. Raises MissingModalityError where
    nothing is left.
    """
    late, length = round(late_s * RATE_HZ), round(duration_s * RATE_HZ)
    kept = samples[max(-late, 0) : max(length - late, 0)]
    if not kept.size:
        raise MissingModalityError("no sound while the picture lasts")
    before = max(late, 0)
    after = length - before - len(kept)
    return np.pad(kept, (before, after if after > LACK_S * RATE_HZ else 0))


def resampled(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """`samples` [n] at `rate_hz` as float32 at 16 kHz, free of aliases to −96 dB."""
    from scipy.signal import resample_poly

    samples = samples.astype(np.float32)
    if rate_hz == RATE_HZ:
        return samples
    ratio = Fraction(RATE_HZ, rate_hz).limit_denominator(FINEST)
    up, down = ratio.numerator, ratio.denominator
    return np.asarray(resample_poly(samples, up, down, window=_low_pass(up, down)), np.float32)


@lru_cache(maxsize=16)
def _low_pass(up: int, down: int) -> np.ndarray:
    """The anti-alias filter, at the common multiple of both rates: odd length, so no half delay.

    SciPy's own has its −6 dB point at the Nyquist frequency, so that 8.2 kHz folds to 7.8 kHz
    nearly whole; this one's stop band begins there.
    """
    from scipy.signal import firwin, kaiserord

    multiple_hz = RATE_HZ * down
    nyquist_hz = min(multiple_hz / up, RATE_HZ) / 2
    width_hz = nyquist_hz * (1 - PASSED)
    taps, beta = kaiserord(STOP_DB, width_hz / (multiple_hz / 2))
    middle_hz = nyquist_hz - width_hz / 2
    taps_float64 = firwin(taps | 1, middle_hz, window=("kaiser", beta), fs=multiple_hz)
    return np.asarray(taps_float64, np.float32)


def normalised(samples: np.ndarray, level_dbfs: float = -3.0) -> np.ndarray:
    """`samples` as int16 with their peak at `level_dbfs`; zeros where there is only silence."""
    peak = np.abs(samples).max()
    if peak < SILENCE:
        return np.zeros(samples.shape, np.int16)
    gain = 10 ** (level_dbfs / 20) * FULL_SCALE / float(peak)
    return np.rint(samples * np.float64(gain)).astype(np.int16)
