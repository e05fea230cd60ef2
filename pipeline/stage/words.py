"""Words as steps: which rows of a feature belong to which word of a clip, and their means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

import numpy as np

from pipeline.media.waveform import RATE_HZ
from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs
from pipeline.stage.settings import StageSettings
from pipeline.stage.steps import sample_indices, to_steps

WORD_TIMES = Field(("word", 2), "float64", "s", ragged=True)
WORD_PLACES = Field(("word", 2), "int32", "characters", ragged=True)
# What tells of words and of rows: of sound, by when its first sample is heard; of frames, which
# know their times; of faces; of tokens.
OF_SOUND = {"word_times": WORD_TIMES, "late_s": Field((), "float64", "s")}
OF_FRAMES = {"word_times": WORD_TIMES}
OF_FACES = {**OF_FRAMES, "times": Field(("step",), "float64", "s")}
OF_TEXT = {"word_places": WORD_PLACES}
Sampled = Literal["uniform", "mean", "words"]


class SampledExtractor(Extractor):
    """One whose rows become steps as its setting `sampling` says: with `words`, a step a word.

    with_words: what it takes then beside `takes`, one of those above.
    """

    with_words: ClassVar[Mapping[str, Field]]

    def __init__(self, settings: StageSettings, steps: int = 32) -> None:
        super().__init__(settings, steps)
        self.sampling: Sampled = cast(Any, settings).sampling
        if self.sampling == "words":
            self.takes = {**self.takes, **self.with_words}

    def kept(self, rows: int) -> np.ndarray:
        """Indices of those of so many rows that steps are made of; `in_steps` takes them alone."""
        return sample_indices(rows, self.steps if self.sampling == "uniform" else rows)

    def in_steps(self, rows: np.ndarray, inputs: ClipInputs, at: np.ndarray | None) -> np.ndarray:
        """At most `steps` of the rows [n, ...], or of the means of those of a word.

        at: when each row is, in s [n], or where in the text, in characters [n, 2]; needed for words
        alone.
        """
        if self.sampling != "words":
            return to_steps(rows, self.sampling, self.steps)
        assert at is not None
        is_text = at.ndim == 2
        words = inputs.rows["word_places" if is_text else "word_times"]
        chosen = words[sample_indices(len(words), self.steps)]
        return means(rows, overlapping(at, chosen) if is_text else within(at, chosen))


def parts_s(rows: int, samples: int) -> np.ndarray:
    """When so many rows of a sound are heard: the middles of equal parts of it, in s [rows]."""
    return (np.arange(rows) + 0.5) * (samples / RATE_HZ / rows)


def within(at_s: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Which of the rows at `at_s` [n] lie in which of the words [m, 2]: bool [m, n].

    A word so short that none does has the nearest to its middle.
    """
    inside = (words[:, :1] <= at_s) & (at_s < words[:, 1:])
    nearest = np.abs(at_s - words.mean(axis=1, keepdims=True)).argmin(axis=1)
    lone = np.flatnonzero(~inside.any(axis=1))
    inside[lone, nearest[lone]] = True
    return inside


def overlapping(places: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Which of the tokens at `places` [n, 2] share a character with which word [m, 2]: [m, n]."""
    return (places[:, 0] < words[:, 1:]) & (words[:, :1] < places[:, 1])


def means(rows: np.ndarray, belong: np.ndarray) -> np.ndarray:
    """The mean over each word's rows [n, width]: [m, width]; zeros where a word has none.

    belong: bool [m, n].
    """
    share = belong / np.maximum(belong.sum(axis=1, keepdims=True), 1)
    return (share @ rows.astype(np.float64)).astype(rows.dtype)
