"""Where to cut speech: at pauses, at ends of sentences, and where it is least in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from pipeline.segment.voice import WINDOW_S

HYSTERESIS = 0.15  # below the threshold by so much speech ends, as in silero-vad
CLICK_S = 0.25  # speech that is shorter is none
SMOOTHED = 5  # windows, 0.16 s: a cut is in the middle of the quietest so many


@dataclass(frozen=True)
class Cutting:
    """How speech is cut.

    threshold: of the detector's certainty, 0..1. pause_s: silence that ends an utterance.
    shortest_s, longest_s: of an utterance. margin_s: of silence that is kept around it.
    """

    threshold: float = 0.5
    pause_s: float = 0.5
    shortest_s: float = 1.0
    longest_s: float = 15.0
    margin_s: float = 0.1


@dataclass(frozen=True)
class Stretch:
    """From when to when, in seconds of the sound, and how sure it is that there is speech, 0..1."""

    start_s: float
    end_s: float
    voice: float = 0.0

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s


def utterances(
    voice: np.ndarray, cutting: Cutting, sentences_end_s: Sequence[float] = ()
) -> list[Stretch]:
    """The utterances of a sound, in order; none overlaps another.

    voice: float32 [n] of every 32 ms, see `voice.voice`. sentences_end_s: between which words a
    sentence ends. A short one is widened by the silence around it, or else joined to the nearer
    neighbour; one that has none, and not the silence either, is left out.
    """
    spoken = _joined(list(_spoken(voice, cutting)), cutting.pause_s)
    sentences = [part for one in spoken for part in _at(one, sentences_end_s, cutting)]
    parts = [part for one in sentences for part in _no_longer(one, voice, cutting)]
    spaced = _widened(parts, len(voice) * WINDOW_S, cutting)
    return [replace(one, voice=_mean(voice, one)) for one in _long_enough(spaced, cutting)]


def _spoken(voice: np.ndarray, cutting: Cutting) -> Iterator[Stretch]:
    begun: int | None = None
    for number, sure in enumerate([*voice.tolist(), -1.0]):
        if begun is None and sure >= cutting.threshold:
            begun = number
        elif begun is not None and sure < cutting.threshold - HYSTERESIS:
            yield Stretch(begun * WINDOW_S, number * WINDOW_S)
            begun = None


def _joined(spoken: Sequence[Stretch], pause_s: float) -> list[Stretch]:
    """Without pauses that are too short, and then without clicks."""
    found: list[Stretch] = []
    for one in spoken:
        if found and one.start_s - found[-1].end_s < pause_s:
            found[-1] = replace(found[-1], end_s=one.end_s)
        else:
            found.append(one)
    return [one for one in found if one.seconds >= CLICK_S]


def _at(one: Stretch, ends_s: Sequence[float], cutting: Cutting) -> Iterator[Stretch]:
    """Its sentences; a short one stays with the next."""
    start_s = one.start_s
    for end_s in ends_s:
        least_s = cutting.shortest_s
        if start_s + least_s <= end_s <= one.end_s - least_s:
            yield Stretch(start_s, end_s)
            start_s = end_s
    yield Stretch(start_s, one.end_s)


def _no_longer(one: Stretch, voice: np.ndarray, cutting: Cutting) -> Iterator[Stretch]:
    """In parts that are not too long, cut where speech is least sure."""
    smooth = np.convolve(voice, np.full(SMOOTHED, 1 / SMOOTHED), "same")
    while one.seconds > cutting.longest_s:
        first = one.start_s + max(cutting.shortest_s, cutting.longest_s / 3)
        last = min(one.start_s + cutting.longest_s, one.end_s - cutting.shortest_s)
        begin, end = round(first / WINDOW_S), max(int(last / WINDOW_S), round(first / WINDOW_S) + 1)
        cut_s = (begin + int(smooth[begin:end].argmin())) * WINDOW_S
        yield Stretch(one.start_s, cut_s)
        one = Stretch(cut_s, one.end_s)
    yield one


def _widened(parts: Sequence[Stretch], end_s: float, cutting: Cutting) -> list[Stretch]:
    """With a margin, or as much as a short one lacks; half of each pause belongs to either side."""
    middles = [(a.end_s + b.start_s) / 2 for a, b in pairwise(parts)]
    found = []
    for one, low_s, high_s in zip(parts, [0.0, *middles], [*middles, end_s], strict=True):
        lack_s = max(0.0, cutting.shortest_s - one.seconds)
        room_s = cutting.longest_s - one.seconds
        margin_s = min(max(cutting.margin_s, lack_s / 2), room_s / 2)
        start_s = max(low_s, one.start_s - margin_s)
        stop_s = min(high_s, max(one.end_s + margin_s, start_s + min(cutting.shortest_s, room_s)))
        start_s = max(low_s, min(start_s, stop_s - cutting.shortest_s))
        found.append(Stretch(start_s, stop_s))
    return found


def _long_enough(parts: Sequence[Stretch], cutting: Cutting) -> list[Stretch]:
    """Short ones joined to the nearer neighbour with which they are not too long."""
    found = list(parts)
    number = 0
    while number < len(found):
        if found[number].seconds >= cutting.shortest_s - WINDOW_S / 2:
            number += 1
            continue
        one = found.pop(number)
        near = sorted(
            (n for n in (number - 1, number) if 0 <= n < len(found)),
            key=lambda n: max(found[n].start_s - one.end_s, one.start_s - found[n].end_s),
        )
        for n in near:
            both = _around(found[n], one)
            if both.seconds <= cutting.longest_s:
                found[n] = both
                break
    return found


def _around(a: Stretch, b: Stretch) -> Stretch:
    return Stretch(min(a.start_s, b.start_s), max(a.end_s, b.end_s))


def _mean(voice: np.ndarray, one: Stretch) -> float:
    """Of the windows that have speech rather than not, which its margins have not."""
    windows = voice[round(one.start_s / WINDOW_S) : round(one.end_s / WINDOW_S)]
    spoken = windows[windows >= 0.5]
    return float(spoken.mean()) if spoken.size else 0.0
