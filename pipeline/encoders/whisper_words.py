"""When each word is said that a Whisper hears, and how sure it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp

import numpy as np

from pipeline.dataset.language import HAN
from pipeline.encoders.precision import FULL, inference
from pipeline.encoders.whisper import Whisper
from pipeline.media.waveform import FULL_SCALE, RATE_HZ

SENTENCE = re.compile(r"[.?!。？！…][\"'”’」』)]*$")
UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # of a character of which some tokens are to come


@dataclass(frozen=True)
class Word:
    """A word as it is written, with what stands before it; seconds of the sound; sure: 0..1."""

    text: str
    start_s: float
    end_s: float
    sure: float

    @property
    def ends_sentence(self) -> bool:
        return bool(SENTENCE.search(self.text.strip()))


def words(network: Whisper, sound: np.ndarray, language: str | None) -> list[Word]:
    """The words of an int16 sound [n] that fits in a window, 30 s.

    Times are those at which the decoder's attention goes on to a token (dynamic time warping),
    good to about 0.1 s. Raises UserError where the checkpoint does not say which heads align.
    Source: Radford et al. 2022; timing.py of openai/whisper.
    """
    network.require(language)
    network.require_times()
    given = network.spectra(
        [sound / np.float32(FULL_SCALE)],
        sampling_rate=RATE_HZ,
        return_tensors="pt",
        return_attention_mask=True,
    ).to(network.model.device)
    with inference(FULL, network.model.device):
        found = network.model.generate(
            given.input_features,
            attention_mask=given.attention_mask,
            return_token_timestamps=True,
            return_dict_in_generate=True,
            output_scores=True,
            **network.way(language),
        )
    ids, times = (found[name][0].cpu().numpy() for name in ("sequences", "token_timestamps"))
    spoken = slice(len(ids) - len(found["scores"]), None)  # after what the decoder is told
    logs = [
        float(score[0].log_softmax(-1)[id])
        for score, id in zip(found["scores"], ids[spoken], strict=True)
    ]
    ends_s = len(sound) / RATE_HZ
    return list(_words(network.words, ids[spoken], times[spoken], logs, ends_s))


def _words(
    text_of: Callable[[np.ndarray], Sequence[str]],
    ids: np.ndarray,
    times: np.ndarray,
    logs: Sequence[float],
    ends_s: float,
) -> Iterator[Word]:
    """Tokens to words: one begins with a space, or with a Chinese character."""
    pieces = _pieces(text_of, ids)
    begun = [n for n, piece in enumerate(pieces) if n == 0 or _begins(piece)]
    for first, end in pairwise([*begun, len(pieces)]):
        text = "".join(pieces[first:end])
        start_s = min(float(times[first]), ends_s)
        stop_s = min(float(times[end]), ends_s) if end < len(times) else ends_s
        if text.strip():
            yield Word(text, start_s, max(start_s, stop_s), exp(float(np.mean(logs[first:end]))))


def _begins(piece: str) -> bool:
    return piece[:1].isspace() or bool(HAN.match(piece))


def _pieces(text_of: Callable[[np.ndarray], Sequence[str]], ids: np.ndarray) -> list[str]:
    """What each token adds to the text; "" where it adds none yet, as special ones."""
    pieces, told = [], ""
    for end in range(1, len(ids) + 1):
        (text,) = text_of(ids[None, :end])
        is_whole = not text.endswith(UNFINISHED)
        pieces.append(text[len(told) :] if is_whole else "")
        told = text if is_whole else told
    return pieces
