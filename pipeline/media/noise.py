"""Noise to be heard over a clip's sound, at a stated ratio of signal to noise."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pipeline.media.waveform import RATE_HZ, SILENCE

Kind = Literal["white", "pink", "speech_shaped"]
LOWEST_HZ = 20.0  # below which pink noise rises no further


def noisy(samples: np.ndarray, snr_db: float, kind: Kind, seed: int) -> np.ndarray:
    """`samples` [n] with noise from the first to the last, as float32; silence stays silence.

    snr_db: 10·log10 of the signal's power over the noise's. A power is the mean square; that of the
    signal from its first sample on that is no silence to the last, so that padding does not make
    the noise softer, and pauses do. kind: `white`; `pink`, 3 dB less an octave;
    `speech_shaped`, the clip's own spectrum with phases drawn at random. The same seed gives the
    same noise at every ratio. The sum may be louder than full scale: normalise it.
    """
    heard = np.flatnonzero(np.abs(samples) >= SILENCE)
    if not heard.size:
        return samples
    signal = samples[heard[0] : heard[-1] + 1]
    noise = _drawn(samples, kind, np.random.default_rng(seed))
    ratio = _power(signal) / _power(noise) / 10 ** (snr_db / 10)
    return (samples + np.sqrt(ratio) * noise).astype(np.float32)


def _drawn(samples: np.ndarray, kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """Noise as long as `samples`, of any level."""
    n = len(samples)
    if kind == "white" or n == 1:  # one sample has no spectrum to speak of
        return rng.standard_normal(n, np.float32)
    hz = np.fft.rfftfreq(n, 1 / RATE_HZ)
    own = np.fft.rfft(samples) if kind == "speech_shaped" else hz.clip(LOWEST_HZ) ** -0.5
    return np.fft.irfft(np.abs(own) * np.exp(2j * np.pi * rng.random(len(hz))), n)


def _power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))
