"""A text's words as static vectors, such as those of Tencent AI Lab."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.encoders import word_vectors
from pipeline.encoders.segment import words
from pipeline.encoders.word_vectors import RANDOM_WIDTH, Layout, Vectors
from pipeline.errors import ClipError, MissingModalityError
from pipeline.stage.about import About
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, by_content
from pipeline.stage.steps import to_steps
from pipeline.stage.transcript import (
    TRANSCRIPT,
    UNKNOWN,
    doubt_of,
    text_of,
    unknown_share,
    whole_characters,
)
from pipeline.stage.words import OF_TEXT, Sampled, SampledExtractor
from pipeline.weights.checkpoint import find_file
from pipeline.weights.resolve import Source, Weights

FILES = ("*.txt", "*.vec", "*.bin")


class Tencent(SampledExtractor):
    """One row a word, sampled to `steps`.

    A word that has no vector, also not in lower case, is given the mean of its characters'; one
    whose characters have none either is zero and counted in a note; a text with many such words is
    doubtful. Source: Zhu and Yu, section III-A; Song et al. 2018.
    """

    version = 2
    about = About("Word vectors", modality="text", panel="words")
    reads = frozenset({"text"})
    may_take = {"transcript": TRANSCRIPT}
    with_words = OF_TEXT

    class Settings(StageSettings):
        weights: str = by_content("shibing624/text2vec-word2vec-tencent-chinese")
        """A word2vec file, a folder or hub id that holds one, or `random`."""

        revision: str | None = by_content(None)
        """Commit, branch or tag on the hub; null for the latest."""

        file: str | None = by_content(None)
        """Name of the file, if a folder or repository has several."""

        sampling: Sampled = "uniform"
        """How words become `steps`: picked evenly, means of equal windows, or the words that the
        stage `alignment` finds, which it needs then; those are never segmented anew."""

    settings: Settings

    def writes(self) -> dict[str, Field]:
        """As wide as the file says; `unknown`: the share of words without a vector."""
        path = self.weights().path
        width = Layout.of(path).width if path else RANDOM_WIDTH
        return {"features": Field(("step", width), "float32"), "unknown": UNKNOWN}

    def weights(self) -> Weights:
        [source] = self.models()
        return find_file(source.id, source.files, source.revision)

    def models(self) -> list[Source]:
        settings = self.settings
        patterns = (settings.file,) if settings.file else FILES
        return [Source(settings.weights, patterns, settings.revision)]

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        """Words are looked up one by one; the file is never read as a whole."""
        vectors = word_vectors.loaded(self.weights())
        for inputs in batch:
            try:
                yield self._looked_up(self._said(inputs), vectors)
            except ClipError as error:
                yield ClipResult.of(error)

    def _said(self, inputs: ClipInputs) -> list[str]:
        if self.sampling != "words":
            return words(text_of(inputs))
        text = whole_characters(text_of(inputs))
        return [text[start:stop] for start, stop in inputs.rows["word_places"]]

    def _looked_up(self, said: Sequence[str], vectors: Vectors) -> ClipResult:
        if not said:
            raise MissingModalityError("empty text")
        known = [word_vectors.of_word(word, vectors) for word in said]
        nothing = np.zeros(vectors.width, np.float32)
        rows = np.stack([nothing if vector is None else vector for vector in known])
        rows = to_steps(rows, "mean" if self.sampling == "mean" else "uniform", self.steps)
        unknown = sum(vector is None for vector in known)
        note = f"{unknown} of {len(known)} words have no vector" if unknown else ""
        found = {"features": rows, "unknown": unknown_share(unknown, len(known))}
        doubt = doubt_of(unknown, len(known), "words have no vector")
        return ClipResult.ok(found, len(rows), "" if doubt else note, doubt)
