"""Resampling to 16 kHz with soxr against SciPy's `resample_poly`, and the FIR that was here before.

Speed: of a minute of noise, on one thread, the fastest of several runs. Alias: what remains of
full-scale tones above 8 kHz, the worst of them. Kept: how much of a tone's level comes through
at 7 kHz (of a rate that holds it). Impulse: how far from its place one comes out, in samples.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction

import click
import numpy as np
from scipy.signal import resample_poly

from pipeline.media.waveform import RATE_HZ, resampled

RATES_HZ = (48_000, 44_100, 22_050, 8_000, 96_000)
BEYOND_HZ = (8_050, 8_200, 8_500, 9_000, 10_000, 10_900)  # the last is below 22.05 kHz's half
MINUTE_S = 60
# The FIR of 96 dB that soxr took the place of, measured beside both: SciPy's time that it took, and
# its alias in dB, by rate.
FIR: dict[int, tuple[float, float]] = {
    48_000: (8.6, -99),
    44_100: (7.3, -99),
    22_050: (9.2, -99),
    8_000: (7.4, float("nan")),
    96_000: (7.7, -99),
}

Resample = Callable[[np.ndarray, int], np.ndarray]


@click.command()
@click.option("--repeats", default=5, show_default=True, help="The fastest counts.")
def main(repeats: int) -> None:
    """Print a row a rate."""
    print(f"{'':>9}{'s a minute':>16}{'faster than':>16}{'alias, dB':>24}{'kept':>8}{'impulse':>9}")
    heads = ("soxr", "SciPy", "SciPy", "FIR", "soxr", "SciPy", "FIR", "dB")
    print(f"{'Hz':>9}" + "".join(f"{head:>8}" for head in heads) + f"{'off':>9}")
    for rate_hz in RATES_HZ:
        fir_times, fir_db = FIR[rate_hz]
        soxr_s, scipy_s = (_seconds(way, rate_hz, repeats) for way in (resampled, _by_scipy))
        soxr_db, scipy_db = (_alias_db(way, rate_hz) for way in (resampled, _by_scipy))
        print(
            f"{rate_hz:>9}{soxr_s:>8.3f}{scipy_s:>8.3f}"
            f"{scipy_s / soxr_s:>8.1f}{fir_times * scipy_s / soxr_s:>8.1f}"
            f"{soxr_db:>8.0f}{scipy_db:>8.0f}{fir_db:>8.0f}"
            f"{_kept_db(resampled, rate_hz):>8.2f}{_impulse_off(resampled, rate_hz):>9.2f}",
            flush=True,
        )


def _by_scipy(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    ratio = Fraction(RATE_HZ, rate_hz)
    return np.asarray(resample_poly(samples, ratio.numerator, ratio.denominator))


def _seconds(resample: Resample, rate_hz: int, repeats: int) -> float:
    noise = np.random.default_rng(0).normal(0, 0.1, MINUTE_S * rate_hz).astype(np.float32)
    best = float("inf")
    for _ in range(repeats):
        begun = time.perf_counter()
        resample(noise, rate_hz)
        best = min(best, time.perf_counter() - begun)
    return best


def _alias_db(resample: Resample, rate_hz: int) -> float:
    """The loudest, in dB of a full-scale sine, nan where the rate holds no such tone."""
    tones = [hz for hz in BEYOND_HZ if 2 * hz < rate_hz]
    return max((_level_db(resample, rate_hz, hz) for hz in tones), default=float("nan"))


def _kept_db(resample: Resample, rate_hz: int) -> float:
    return _level_db(resample, rate_hz, 7_000) if rate_hz > 14_000 else float("nan")


def _level_db(resample: Resample, rate_hz: int, hz: float) -> float:
    wave = np.sin(2 * np.pi * hz * np.arange(rate_hz) / rate_hz).astype(np.float32)
    inner = resample(wave, rate_hz)[2000:-2000].astype(np.float64)
    return float(10 * np.log10(max(2 * float(np.mean(inner**2)), 1e-30)))


def _impulse_off(resample: Resample, rate_hz: int) -> float:
    """By the centre of its energy."""
    impulse = np.zeros(rate_hz, np.float32)
    impulse[rate_hz // 2] = 1
    energy = resample(impulse, rate_hz).astype(np.float64) ** 2
    centre = (energy * np.arange(len(energy))).sum() / energy.sum()
    return float(centre - (rate_hz // 2) * RATE_HZ / rate_hz)


if __name__ == "__main__":
    main()
