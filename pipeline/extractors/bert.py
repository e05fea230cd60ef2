"""A text's tokens as the hidden states of a BERT, or of another encoder of texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.encoders import bert, huggingface
from pipeline.encoders.engine import TORCH, Engine
from pipeline.encoders.layers import Layer
from pipeline.encoders.precision import Precision
from pipeline.encoders.tokenizer import Tokenizer, Tokens
from pipeline.errors import ClipError, UserError
from pipeline.stage.about import About
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, by_content, runtime, unless_default
from pipeline.stage.transcript import (
    TRANSCRIPT,
    UNKNOWN,
    text_of,
    unknown_share,
    whole_characters,
)
from pipeline.stage.words import OF_TEXT, Sampled, SampledExtractor
from pipeline.system.device import Device, device_of
from pipeline.weights.repository import TEXT
from pipeline.weights.resolve import Weights, find


class Bert(SampledExtractor):
    """One row a token, the special tokens included, sampled to `steps`.

    `weights` may be any text encoder that transformers has: see docs/encoders.md. Texts beyond the
    model's limit are truncated, with a note. A text of which many tokens are not in the
    vocabulary, as of another language, is doubtful. Source: Devlin et al. 2019.
    """

    version = 3
    about = About(
        "Text features",
        modality="text",
        channel=1,
        panel="tokens",
        licences={"bert-base-chinese": "Apache 2.0", "bert-base-uncased": "Apache 2.0"},
    )
    reads = frozenset({"text"})
    may_take = {"transcript": TRANSCRIPT}
    with_words = OF_TEXT
    files = TEXT

    class Settings(StageSettings):
        weights: str = by_content("bert-base-uncased")
        """A hub id, a folder in the hub's layout, or `random`."""

        revision: str | None = by_content(None)
        """Commit, branch or tag on the hub; null for the latest."""

        sampling: Sampled = "uniform"
        """How tokens become `steps`: picked evenly, means of equal windows, or means of those of a
        word, which the stage `alignment` that it needs finds."""

        layer: Layer = unless_default("last")
        """Which hidden states: `last`, the number of a layer as transformers counts them (0 is
        what goes into the first, -1 the last one), or `[first, last]`, whose mean is taken."""

        precision: Precision = unless_default("float32")
        """Of products: tf32 (NVIDIA GPUs) and bfloat16 are mostly faster and less accurate."""

        engine: Engine = runtime(TORCH)
        """What computes on a CPU in float32: `torch`, `onnxruntime`, `openvino`, or `auto`, the
        fastest that is installed; they agree to 1e-5. See docs/engines.md."""

        batch_size: int = runtime(32, ge=1)
        """Batch size in texts, on a GPU; a CPU takes up to 192 tokens, of one text or several."""

        device: Device = runtime("auto")
        """`auto` (cuda if available), `cpu`, `cuda`, `cuda:1` …"""

    settings: Settings

    def writes(self) -> dict[str, Field]:
        """As wide as the checkpoint's config says; `unknown`: the share of tokens that are."""
        width = huggingface.width(self.weights(), bert.RANDOM_WIDTH, self.settings.layer)
        return {"features": Field(("step", width), "float32"), "unknown": UNKNOWN}

    def weights(self) -> Weights:
        settings = self.settings
        try:
            return find(settings.weights, self.files, settings.revision)
        except UserError as error:  # a network for pictures has no vocabulary to be added
            raise huggingface.with_kind(error, Path(settings.weights), bert.TAKEN) from None

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        """Texts of similar length go through the network together."""
        settings = self.settings
        device, precision = device_of(settings.device), settings.precision
        network = bert.loaded(self.weights(), device, precision, settings.engine, settings.layer)
        texts = [_tokens(network.tokenizer, inputs) for inputs in batch]
        told = [text for text in texts if isinstance(text, Tokens)]
        states = iter(network.states(told, settings.layer, settings.batch_size, self.kept))
        for inputs, text in zip(batch, texts, strict=True):
            if isinstance(text, ClipError):
                yield ClipResult.of(text)
                continue
            at = _places(network.tokenizer, inputs) if self.sampling == "words" else None
            rows = self.in_steps(next(states), inputs, at)
            found = {"features": rows, "unknown": unknown_share(text.unknown, text.own)}
            yield ClipResult.ok(found, len(rows), text.note, text.doubt)


def _tokens(tokenizer: Tokenizer, inputs: ClipInputs) -> Tokens | ClipError:
    try:
        return tokenizer.tokens(whole_characters(text_of(inputs)))
    except ClipError as error:
        return error


def _places(tokenizer: Tokenizer, inputs: ClipInputs) -> np.ndarray:
    return np.array(tokenizer.places(whole_characters(text_of(inputs))))
