"""What a network is given of a sound, by its kind, and how many states that makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple, Protocol

import numpy as np

from pipeline.media.waveform import FULL_SCALE, RATE_HZ


class Part(NamedTuple):
    """A stretch of sound as a network takes it; of its states so many stand for real sound."""

    row: np.ndarray
    states: int


class FrontEnd(Protocol):
    """From sound to what a network takes.

    samples: of sound for each entry of a row. masks: whether the network can leave padding out of
    account; else only rows of equal length share a batch.
    """

    @property
    def samples(self) -> int: ...

    @property
    def masks(self) -> bool: ...

    def parts(self, sound: np.ndarray, window: int) -> list[Part]:
        """Of int16 samples [n], in windows of at most so many samples."""


@dataclass(frozen=True)
class Waveform:
    """Normalised samples, of which convolutions make the states.

    kernels, strides: of the convolutions, in order.
    """

    normaliser: Any
    kernels: Sequence[int]
    strides: Sequence[int]
    masks: bool
    samples: int = 1

    @property
    def hop(self) -> int:
        """Samples from one state to the next."""
        return prod(self.strides)

    @property
    def field(self) -> int:
        """Samples that a state is made from."""
        reach, field = 1, 1
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            field += (kernel - 1) * reach
            reach *= stride
        return field

    def frames(self, samples: int) -> int:
        """How many states come from so many samples."""
        return (samples - self.field) // self.hop + 1

    def parts(self, sound: np.ndarray, window: int) -> list[Part]:
        windows = self.windows(self.normalised(sound), window)
        return [Part(row, self.frames(len(row))) for row in windows]

    def normalised(self, sound: np.ndarray) -> np.ndarray:
        """int16 samples [n] as the checkpoint wants them, float32 and at least one state's."""
        values = self.normaliser(_floats(sound, self.field), sampling_rate=RATE_HZ).input_values
        return np.asarray(values[0], np.float32)

    def windows(self, sound: np.ndarray, longest: int) -> list[np.ndarray]:
        """`sound` in parts of at most `longest` samples which give the whole sound's states."""
        if len(sound) <= longest:
            return [sound]
        step = self.frames(longest) * self.hop
        overlap = self.field - self.hop
        starts = range(0, self.frames(len(sound)) * self.hop, step)
        return [sound[start : start + step + overlap] for start in starts]


@dataclass(frozen=True)
class MelFrames:
    """Log-mel features of the whole sound, some neighbours side by side: one row a state."""

    spectra: Any
    masks: bool
    FIELD, HOP = 400, 160  # samples: of Kaldi's frames, which the extractor can't change

    @property
    def samples(self) -> int:
        return self.HOP * int(self.spectra.stride)

    def parts(self, sound: np.ndarray, window: int) -> list[Part]:
        least = self.FIELD + self.samples - self.HOP
        found = self.spectra(
            _floats(sound, least), sampling_rate=RATE_HZ, return_attention_mask=True
        )
        # Where neighbours lack to the last frame, the mask leaves it out.
        rows = np.asarray(found.input_features[0], np.float32)[: int(found.attention_mask[0].sum())]
        step = max(window // self.samples, 1)
        split = [rows[start : start + step] for start in range(0, len(rows), step)]
        return [Part(part, len(part)) for part in split]


@dataclass(frozen=True)
class MelWindows:
    """Log-mel spectra of windows of one length, filled up with silence.

    states: that the network makes of a window.
    """

    spectra: Any
    states: int
    masks: bool = False

    @property
    def samples(self) -> int:
        return int(self.spectra.n_samples) // int(self.spectra.feature_size)

    def parts(self, sound: np.ndarray, window: int) -> list[Part]:
        hop = int(self.spectra.n_samples) // self.states
        step = max(min(window, int(self.spectra.n_samples)) // hop, 1) * hop
        floats = _floats(sound, 1)
        return [self._part(floats[i : i + step], hop) for i in range(0, len(floats), step)]

    def _part(self, sound: np.ndarray, hop: int) -> Part:
        found = self.spectra(sound, sampling_rate=RATE_HZ).input_features[0]
        return Part(np.asarray(found, np.float32), -(-len(sound) // hop))


def _floats(sound: np.ndarray, least: int) -> np.ndarray:
    """int16 samples [n] as float32 within -1..1, filled up with zeros to at least so many."""
    return np.pad(sound, (0, max(least - len(sound), 0))) / np.float32(FULL_SCALE)
