"""Decoded sound as it comes, kept in one piece."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf

import numpy as np

from pipeline.dataset.span import WHOLE, Span
from pipeline.errors import ClipError
from pipeline.media.bounds import require_end
from pipeline.media.container import LOST_END_S
from pipeline.media.limits import SoundLimits

MOST_LOST = 0.1  # of the sound; less of it may be damaged and is silence then
GAP_S = 0.1  # between times that follow each other; FFmpeg's own filters let as much pass
RATES_HZ = (1_000, 768_000)  # what is outside comes of a damaged header


@dataclass(frozen=True)
class Audio:
    """Decoded audio: float32 [channels, n], about −1..1.

    start_s: when its first sample is heard, on the clock of the media. note: what the user should
    know about what was taken; doubt: why it may not be all.
    """

    samples: np.ndarray
    rate_hz: int
    start_s: float = 0.0
    note: str = ""
    doubt: str = ""


@dataclass
class Blocks:
    """Decoded sound as it comes, float32 [channels, n] a block, and no more than memory holds.

    start_s: when its first sample is heard. span: what is kept of it, on a clock that has its zero
    at `zero_s`, or where that is None at the first sample. samples: how many came; channels: 0
    until then. lost: those kept that did not decode and are silent here; gaps: those that there
    never were, by the times of those around them.
    """

    path: str
    rate_hz: int
    limits: SoundLimits
    start_s: float = 0.0
    span: Span = WHOLE
    zero_s: float | None = None
    samples: int = 0
    channels: int = 0
    lost: int = 0
    gaps: int = 0
    held: deque[np.ndarray] = field(default_factory=deque)

    def __post_init__(self) -> None:
        if not RATES_HZ[0] <= self.rate_hz <= RATES_HZ[1]:
            raise ClipError(f"sound can't be sampled at {self.rate_hz} Hz: {self.path}")
        self.first, self.last = 0, inf
        if self.span != WHOLE:  # all of it may begin before the picture does
            zero_s = self.start_s if self.zero_s is None else self.zero_s
            start, end = self.span.start_s, self.span.end_s
            self.first = max(0, self._sample(zero_s + start))
            self.last = inf if end == inf else max(0, self._sample(zero_s + end))

    def _sample(self, time_s: float) -> int:
        return round((time_s - self.start_s) * self.rate_hz)

    @property
    def end_s(self) -> float:
        return self.start_s + self.samples / self.rate_hz

    @property
    def kept(self) -> int:
        """How many of the samples so far are of the span."""
        return max(0, int(min(self.samples, self.last)) - self.first)

    @property
    def is_full(self) -> bool:
        """Whether no more are wanted."""
        return self.samples >= self.last

    def append(self, block: np.ndarray) -> None:
        """Raises ClipError where the channels change midway, and where it becomes too much."""
        channels, samples = block.shape
        if channels != (self.channels or channels):
            raise ClipError(f"the sound's rate or channels change midway: {self.path}")
        self.channels = channels
        begin, self.samples = self.samples, self.samples + samples
        self.limits.require(self.kept, channels, self.rate_hz, self.path)
        wanted = block[:, max(0, self.first - begin) : int(max(0, min(samples, self.last - begin)))]
        if wanted.size:
            self.held.append(wanted)

    def lose(self, lost_s: float) -> None:
        """Silence in place of a packet that does not decode: what follows keeps its time."""
        self.lost += self._be_silent(lost_s)

    def wait_until(self, time_s: float) -> None:
        """Silence up to what is heard at `time_s`, where that is not at once."""
        if time_s > self.end_s + GAP_S:
            self.gaps += self._be_silent(time_s - self.end_s)

    def _be_silent(self, seconds: float) -> int:
        kept = self.kept
        self.append(silence(self.channels, round(seconds * self.rate_hz)))
        return self.kept - kept

    def joined(self, announced_s: float, note: str = "") -> Audio:
        """Raises ClipError where it stops before `announced_s`, or too much of it was lost."""
        if not self.is_full and self.end_s < announced_s - LOST_END_S:
            where = f"{self.end_s:.2f} s of {announced_s:.2f} s"
            raise ClipError(f"sound stops at {where}: {self.path}")
        if self.zero_s is None and not self.is_full:
            require_end(self.span, self.end_s - self.start_s, "sound", self.path)
        lost = f"{self.lost / self.rate_hz:.2f} s of the sound are damaged"
        if self.lost > MOST_LOST * self.kept:
            raise ClipError(f"{lost}, of {self.kept / self.rate_hz:.2f} s: {self.path}")
        gaps = f"{self.gaps / self.rate_hz:.2f} s of the sound are missing and silent"
        notes = [note, f"{lost} and silent" if self.lost else "", gaps if self.gaps else ""]
        told, begins_s = "; ".join(filter(None, notes)), self.start_s + self.first / self.rate_hz
        return Audio(self._emptied(), self.rate_hz, begins_s, told)

    def _emptied(self) -> np.ndarray:
        """All of it in one piece; each block is let go once it is copied."""
        samples = np.empty((self.channels or 1, self.kept), np.float32)
        begin = 0
        while self.held:
            block = self.held.popleft()
            samples[:, begin : begin + block.shape[1]] = block
            begin += block.shape[1]
        return samples


def silence(channels: int, samples: int) -> np.ndarray:
    """A view of one zero: silence that takes no memory until it is joined to what is kept."""
    return np.broadcast_to(np.float32(0), (channels, samples))
