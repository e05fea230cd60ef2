"""A long video or sound file to the utterances in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp, log

import numpy as np

from pipeline import media
from pipeline.encoders import whisper
from pipeline.encoders.whisper_words import Word, words
from pipeline.media.waveform import RATE_HZ, normalised, resampled
from pipeline.segment.turns import Turn, changes_s, speaker_in
from pipeline.segment.utterances import Cutting, Stretch, utterances
from pipeline.segment.voice import WINDOW_S, voice
from pipeline.weights.resolve import Weights

HEARD_S = 28.0  # at most, of the 30 s of a Whisper's window
NEAR_S = 0.3  # of the time of a word, which is not exact, a sentence is cut where it is quietest

USUAL = Cutting()
Hears = Callable[[np.ndarray], Sequence[Word]]  # int16 sound of at most 30 s to its words


@dataclass(frozen=True)
class Utterance:
    """A span of a file, in seconds on its clock, and what is said in it.

    voice: how sure it is that there is speech, 0..1. sure: how sure the words are, the geometric
    mean of their probabilities, None where nobody listened. speaker: who says it, where known.
    """

    start_s: float
    end_s: float
    text: str
    voice: float
    sure: float | None = None
    speaker: str = ""


def segment(
    path: str,
    cutting: Cutting = USUAL,
    hears: Hears | None = None,
    turns: Sequence[Turn] = (),
) -> list[Utterance]:
    """The utterances of a file, in order. Raises ClipError for one without sound, or a bad one.

    hears: tells the words; by default they are not told. turns: who speaks when; it is cut where
    another begins. Times count from the first picture shown, or from the first sample where there
    is no picture, as those of spans do.
    """
    heard = media.load_audio(path)
    shown = media.video_span(path)
    zero_s = shown.zero_s if shown else heard.start_s
    mono = resampled(heard.samples.mean(axis=0), heard.rate_hz)
    sure = voice(mono)
    said = _said(mono, sure, cutting, hears) if hears else []
    parts = utterances(sure, cutting, sorted([*_ends_s(said, sure), *changes_s(turns)]))
    late_s = heard.start_s - zero_s
    last_s = shown.ends_s - zero_s if shown else late_s + len(mono) / RATE_HZ
    placed = (_placed(part, said, turns, late_s, last_s) for part in parts)
    # What is said before the first picture or after the last is of no span.
    return [one for one in placed if one.end_s - one.start_s >= cutting.shortest_s / 2]


def listening(weights: Weights, language: str | None, device: str) -> Hears:
    """A Whisper that tells words and their times. Raises UserError where it can't."""
    network = whisper.loaded(weights, device)
    network.require(language)
    network.require_times()
    return lambda sound: words(network, sound, language)


def _said(mono: np.ndarray, sure: np.ndarray, cutting: Cutting, hears: Hears) -> list[Word]:
    """All words, in seconds of the sound."""
    found = []
    for part in utterances(sure, replace(cutting, longest_s=HEARD_S)):
        begin, end = (round(s * RATE_HZ) for s in (part.start_s, part.end_s))
        sound = normalised(mono[begin:end])
        if sound.any():
            found += [_later(word, part.start_s) for word in hears(sound)]
    return found


def _later(word: Word, by_s: float) -> Word:
    return replace(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s)


def _ends_s(said: Sequence[Word], sure: np.ndarray) -> list[float]:
    """Where sentences end: near the end of their last words, where speech is least sure."""
    found = []
    for word in said:
        if word.ends_sentence:
            near = (round((word.end_s + by_s) / WINDOW_S) for by_s in (-NEAR_S, NEAR_S))
            begin, end = (min(max(n, 0), len(sure)) for n in near)
            if end > begin:
                found.append((begin + int(sure[begin:end].argmin())) * WINDOW_S)
    return found


def _placed(
    part: Stretch, said: Sequence[Word], turns: Sequence[Turn], late_s: float, last_s: float
) -> Utterance:
    """The utterance on the clock of the file, with the words whose middles are in it."""
    own = [w for w in said if part.start_s <= (w.start_s + w.end_s) / 2 < part.end_s]
    logs = [log(max(word.sure, 1e-9)) for word in own]
    return Utterance(
        round(max(part.start_s + late_s, 0.0), 3),
        round(min(part.end_s + late_s, last_s), 3),
        "".join(word.text for word in own).strip(),
        round(part.voice, 3),
        round(exp(sum(logs) / len(logs)), 3) if logs else None,
        speaker_in(turns, part.start_s, part.end_s),
    )
