"""Who speaks: how far each person's mouth moves while there is sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.errors import MissingModalityError
from pipeline.faces.tracker import Face, Track
from pipeline.media.waveform import RATE_HZ, SILENCE, placed, resampled

WINDOW = RATE_HZ // 5  # samples that the sound's level at one time is of: about a syllable


@dataclass(frozen=True)
class Level:
    """The level of a sound over time, as a share of the highest.

    samples: [n] at 16 kHz, the first of them heard with the first picture.
    """

    samples: np.ndarray

    @classmethod
    def of(cls, clip: Clip) -> Level:
        """Of the sound while the clip's pictures last. Raises ClipError."""
        shown = media.video_span(clip.video, span=clip.span) if clip.video else None
        if clip.video is None or clip.sound is None or shown is None:
            raise MissingModalityError("no pictures to hear a sound with")
        zero_s = None if clip.audio else shown.zero_s
        heard = media.load_audio(clip.sound, span=clip.span, zero_s=zero_s)
        mono = resampled(heard.samples.mean(axis=0), heard.rate_hz)
        # A separate audio file is taken to begin with the picture, as `audio` takes it.
        begins_s = shown.zero_s + clip.span.start_s if clip.audio else heard.start_s
        return cls(placed(mono, begins_s - shown.begins_s, shown.ends_s - shown.begins_s))

    def at(self, times_s: np.ndarray) -> np.ndarray:
        """The root mean square of the 0.2 s around each time, 0..1; 0 beyond the sound."""
        energy, most = self._energy
        middle = np.rint(times_s * RATE_HZ).astype(int)
        begin, end = (np.clip(middle + way * WINDOW // 2, 0, len(energy) - 1) for way in (-1, 1))
        return np.sqrt(np.minimum((energy[end] - energy[begin]) / most, 1))

    @cached_property
    def _energy(self) -> tuple[np.ndarray, float]:
        """That of all samples before each, and the most of a window."""
        energy = np.cumsum(np.r_[0.0, np.square(self.samples, dtype=np.float64)])
        most = float((energy[WINDOW:] - energy[:-WINDOW]).max(initial=0))
        return energy, max(most, WINDOW * SILENCE**2)


def heard_motion(track: Track, level: Level) -> float:
    """How far the mouth moves from picture to picture, each step times the sound's level then.

    The correlation of both, for which a talker need not be lively, tells hardly better than chance
    on clips of a few seconds (`benchmarks.speaker`).
    """
    times_s, moves = motion(track)
    return float(moves @ level.at(times_s))


def motion(track: Track) -> tuple[np.ndarray, np.ndarray]:
    """How far the mouth moves from each picture to the next, float64 [faces − 1], and when.

    In distances between the eyes, so that neither a person's size nor a head that moves counts.
    """
    times_s = np.array([face.time_s for face in track.faces])
    mouths = np.array([_mouth(face) for face in track.faces])
    return (times_s[1:] + times_s[:-1]) / 2, np.abs(np.diff(mouths, axis=0)).sum(axis=1)


def _mouth(face: Face) -> tuple[float, float]:
    """How far it is below the nose, and how wide, in distances between the eyes."""
    left_eye, right_eye, nose, left, right = face.landmarks.astype(np.float64)
    eyes = max(float(np.hypot(*(right_eye - left_eye))), 1.0)
    below, width = np.hypot(*((left + right) / 2 - nose)), np.hypot(*(right - left))
    return float(below) / eyes, float(width) / eyes


def speech_of(tracks: Sequence[Track], level: Level) -> list[float] | None:
    """The `heard_motion` of each; None where nothing is heard, or nothing moves."""
    found = [heard_motion(track, level) for track in tracks]
    return found if any(found) else None
