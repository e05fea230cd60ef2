"""A clip's sound as a waveform of any length, drawn as the peaks of so many columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.html.numbers import plain
from pipeline.inspect.stage_result import StageResult
from pipeline.media.waveform import FULL_SCALE, RATE_HZ

COLUMNS = 480


@dataclass(frozen=True)
class SoundPanel:
    """outline: of the waveform as an SVG path, in columns across and −1..1 down."""

    outline: str
    columns: int
    duration_s: float
    facts: tuple[tuple[str, str], ...]
    template: str = "sound"


def panel(result: StageResult) -> SoundPanel:
    """The samples as `audio` wrote them, after normalisation."""
    samples = result.rows["samples"]
    peaks = envelope(samples)
    there = [f"{x} {-high:.3f}" for x, high in enumerate(peaks[:, 1])]
    back = [f"{x} {-low:.3f}" for x, low in reversed(list(enumerate(peaks[:, 0])))]
    seconds = len(samples) / RATE_HZ
    facts = (
        ("Duration", f"{seconds:.2f} s"),
        ("Samples", f"{len(samples):,} at {RATE_HZ // 1000} kHz, mono"),
        ("Peak before normalisation", f"{plain(float(result.rows['peak_dbfs']), 1)} dBFS"),
        ("Peak after normalisation", f"{np.abs(peaks).max():.2f} of full scale"),
    )
    return SoundPanel(f"M{'L'.join(there + back)}Z", len(peaks), seconds, facts)


def envelope(samples: np.ndarray, columns: int = COLUMNS) -> np.ndarray:
    """The lowest and the highest of each column's samples, float64 [≤ columns, 2] of −1..1.

    samples: int16 [n], n > 0.
    """
    starts = np.unique(np.linspace(0, len(samples), columns, endpoint=False).astype(int))
    ends = [np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)]
    return np.stack(ends, axis=1) / FULL_SCALE
