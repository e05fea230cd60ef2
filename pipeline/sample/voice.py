"""A voice-like sound whose pitch, loudness and timbre carry a mood."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

RATE_HZ = 16_000
# The first three formants of a, e, i, o, u (Peterson and Barney 1952, men, rounded) and how wide.
VOWELS_HZ = (
    (730, 1090, 2440),
    (530, 1840, 2480),
    (270, 2290, 3010),
    (570, 840, 2410),
    (300, 870, 2240),
)
WIDTHS_HZ = (80, 100, 140)
HISS = 0.002  # of the room, where a syllable's peak is about 1
SPREAD = 0.15  # how far, in units of the score, each trait strays from what the score asks for


class Manner:
    """How a voice speaks: a happy one (score 1) is high, lively, bright, quick, full and loud.

    lilt: the range of its melody, in octaves. brightness_hz: where its source begins to fall off.
    voiced: the share of each syllable that sounds. fade: how much of the loudness is gone at the
    end. breath: noise beside pulses that peak at 1. peak: of full scale. tract: all formants in
    relation to a man's.
    """

    def __init__(self, score: float, rng: np.random.Generator) -> None:
        def trait(low: float, high: float) -> float:
            """From `low` at −1 to `high` at 1 along a geometric line, astray by some of it."""
            place = (score + rng.normal(0, SPREAD) + 1) / 2
            return float(low * (high / low) ** place)

        # Every trait draws from `rng`: another order gives other voices.
        self.pitch_hz = trait(105, 215) * rng.uniform(0.85, 1.15)
        self.lilt = trait(0.08, 0.5)
        self.brightness_hz = trait(350, 1800)
        self.syllables_per_s = trait(2.6, 5.0)
        self.voiced = min(trait(0.55, 0.85), 0.95)
        self.fade = min(trait(0.8, 0.15), 0.95)
        self.breath = trait(0.10, 0.02)
        self.peak = min(trait(0.12, 0.8), 0.95)
        self.tract = rng.uniform(1.0, 1.18)


def speak(seconds: float, score: float, rng: np.random.Generator) -> np.ndarray:
    """Nonsense syllables in the mood of `score` (−1..1): float32 [seconds · 16 kHz]."""
    manner = Manner(score, rng)
    length = round(seconds * RATE_HZ)
    sound = np.zeros(length)
    for start, syllable in _syllables(length, manner, rng):
        part = syllable[: length - start]
        sound[start : start + len(part)] += part
    sound *= np.linspace(1, 1 - manner.fade, length)
    sound += rng.normal(0, HISS, length)
    return (sound * (manner.peak / np.abs(sound).max())).astype(np.float32)


def _syllables(
    length: int, manner: Manner, rng: np.random.Generator
) -> Iterator[tuple[int, np.ndarray]]:
    """Where each syllable begins, and its samples."""
    start = round(rng.uniform(0.02, 0.08) * RATE_HZ)
    while start < length:
        slot = RATE_HZ / manner.syllables_per_s * rng.uniform(0.8, 1.2)
        octaves = manner.lilt * (np.sin(6 * start / RATE_HZ) + rng.normal(0, 0.3)) / 2
        pitch_hz = manner.pitch_hz * 2**octaves
        vowel_hz = VOWELS_HZ[rng.integers(len(VOWELS_HZ))]
        sound = _vowel(round(slot * manner.voiced), pitch_hz, vowel_hz, manner, rng)
        yield start, sound * rng.uniform(0.7, 1.0)
        start += round(slot)


def _vowel(
    length: int,
    pitch_hz: float,
    formants_hz: tuple[int, ...],
    manner: Manner,
    rng: np.random.Generator,
) -> np.ndarray:
    """One vowel: glottal pulses and breath through formants, gliding down, with a vibrato."""
    # SciPy is loaded where sound is made.
    from scipy.signal import lfilter

    time_s = np.arange(length) / RATE_HZ
    glide = np.linspace(manner.lilt / 4, -manner.lilt / 4, length)
    vibrato = 0.01 * np.sin(2 * np.pi * 5.5 * time_s)
    cycles = np.cumsum(pitch_hz * 2 ** (glide + vibrato)) / RATE_HZ
    pulses = np.diff(np.floor(cycles), prepend=0.0)
    decay = np.exp(-2 * np.pi * manner.brightness_hz / RATE_HZ)
    sound = lfilter([(1 - decay) ** 2], [1, -2 * decay, decay**2], pulses)
    sound = sound / sound.max() + rng.normal(0, manner.breath, length)
    for formant_hz, width_hz in zip(formants_hz, WIDTHS_HZ, strict=True):
        sound = _resonated(sound, formant_hz * manner.tract, width_hz)
    swell = np.sin(np.pi * np.linspace(0, 1, length)) ** 0.5
    return np.asarray(sound / max(np.abs(sound).max(), 1e-9) * swell)


def _resonated(sound: np.ndarray, centre_hz: float, width_hz: float) -> np.ndarray:
    """Through a resonance whose gain at 0 Hz is one (Klatt 1980)."""
    from scipy.signal import lfilter

    radius = np.exp(-np.pi * width_hz / RATE_HZ)
    first = 2 * radius * np.cos(2 * np.pi * centre_hz / RATE_HZ)
    second = -(radius**2)
    return np.asarray(lfilter([1 - first - second], [1, -first, -second], sound))
