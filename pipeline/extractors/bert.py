"""A text's tokens as the last hidden states of a BERT."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from zlib import crc32

import numpy as np

from pipeline import transformer
from pipeline.device import Device, device_of
from pipeline.errors import ClipError, MissingModalityError
from pipeline.extractor import (
    ClipInputs,
    ClipResult,
    Extractor,
    StageSettings,
    by_content,
    later,
    runtime,
)
from pipeline.field import Field
from pipeline.precision import Precision, as_floats, inference, lowered
from pipeline.steps import Sampling, to_steps
from pipeline.trace import span
from pipeline.transcript import TRANSCRIPT, text_of, whole_characters
from pipeline.weights import Weights, find, load_once

BATCH_TOKENS = 1 << 14
RANDOM_WIDTH = 128


class Bert(Extractor):
    """One row a token, the special tokens included, sampled to `steps`.

    Texts beyond the model's limit are cut, with a note. Source: Devlin et al. 2019.
    """

    version = 1
    reads = frozenset({"text"})
    may_take = {"transcript": TRANSCRIPT}

    class Settings(StageSettings):
        weights: str = by_content("bert-base-uncased")
        """A hub id, a folder in the hub's layout, or `random`."""

        revision: str | None = by_content(None)
        """Commit, branch or tag of a hub repository; null: its newest."""

        sampling: Sampling = "uniform"
        """How long sequences come to the common steps: rows picked, or means of equal windows."""

        precision: Precision = later("float32")
        """Of the network's products; bfloat16 is faster on most devices and a little less exact."""

        batch_size: int = runtime(32, ge=1)
        """Texts that go through together on an accelerator; a processor takes them one by one."""

        device: Device = runtime("auto")
        """`auto` (cuda where there is one), `cpu`, `cuda`, `cuda:1` …"""

    settings: Settings

    def writes(self) -> dict[str, Field]:
        """As wide as the checkpoint's config says."""
        width = transformer.hidden_size(self.weights(), RANDOM_WIDTH)
        return {"features": Field(("step", width), "float32")}

    def weights(self) -> Weights:
        """Network and tokenizer."""
        return find(self.settings.weights, revision=self.settings.revision)

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        """Texts of similar length go through the network together."""
        device = device_of(self.settings.device)
        model, tokenizer = _loaded(self.weights(), device, self.settings.precision)
        results: dict[int, ClipResult] = {}
        tokens: dict[int, Tokens] = {}
        for index, inputs in enumerate(batch):
            try:
                tokens[index] = tokenizer.tokens(whole_characters(text_of(inputs)))
            except ClipError as error:
                results[index] = ClipResult.of(error)
        indices, texts = list(tokens), list(tokens.values())
        for index, text, states in zip(
            indices, texts, self._states(model, texts, device), strict=True
        ):
            rows = to_steps(states, self.settings.sampling, self.steps)
            results[index] = ClipResult.ok({"features": rows}, len(rows), text.note)
        yield from (results[index] for index in range(len(batch)))

    def _states(self, model: Any, texts: Sequence[Tokens], device: str) -> list[np.ndarray]:
        """The last hidden states of each text, float32 [tokens, width]."""
        lengths = [len(text.ids) for text in texts]
        states: dict[int, np.ndarray] = {}
        most = transformer.batch_size(self.settings.batch_size, device)
        for indices in transformer.by_length(lengths, most, BATCH_TOKENS):
            ids = [texts[index].ids for index in indices]
            for index, hidden in zip(indices, self._forward(model, ids), strict=True):
                states[index] = hidden[: lengths[index]]
        return [states[index] for index in range(len(texts))]

    @span("network")
    def _forward(self, model: Any, ids: Sequence[Sequence[int]]) -> np.ndarray:
        """Last hidden states float32 [texts, tokens, width]; beyond a text they mean nothing."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        rows = [torch.tensor(row) for row in ids]
        padding = getattr(model.config, "pad_token_id", None) or 0
        padded = pad_sequence(rows, batch_first=True, padding_value=padding).to(model.device)
        ones = [torch.ones_like(row) for row in rows]
        mask = pad_sequence(ones, batch_first=True).to(model.device)
        with inference(self.settings.precision, model.device):
            states = model(input_ids=padded, attention_mask=mask).last_hidden_state
        return as_floats(states)


@dataclass(frozen=True)
class Tokens:
    """A text as the network takes it: ids with the special tokens, `total` before the cut."""

    ids: list[int]
    total: int

    @property
    def note(self) -> str:
        """What the user should know."""
        kept = len(self.ids)
        return "" if kept == self.total else f"text cut: {kept} of {self.total} tokens kept"


class Tokenizer(Protocol):
    """From a text to the ids of a network."""

    def tokens(self, text: str) -> Tokens:
        """Raises MissingModalityError where the text says nothing."""

    def spelled(self, text: str) -> list[str]:
        """What each of those tokens stands for, to be read by people."""


class CheckpointTokenizer:
    """The tokenizer that comes with a checkpoint."""

    def __init__(self, tokenizer: Any, limit: int) -> None:
        self._tokenizer = tokenizer
        self._limit = min(limit, tokenizer.model_max_length)
        self._lock = threading.Lock()  # it keeps the last call's truncation as a state

    def tokens(self, text: str) -> Tokens:
        """As in `Tokenizer`."""
        with self._lock:
            ids = self._tokenizer(text, verbose=False)["input_ids"]
            total = len(ids)
            if total > self._limit:
                ids = self._tokenizer(text, truncation=True, max_length=self._limit)["input_ids"]
        if total <= self._tokenizer.num_special_tokens_to_add():
            raise MissingModalityError("empty text")
        return Tokens(ids, total)

    def spelled(self, text: str) -> list[str]:
        """As in `Tokenizer`."""
        return list(self._tokenizer.convert_ids_to_tokens(self.tokens(text).ids))


class HashedWords:
    """BERT's own splitting into words and single Chinese characters, each hashed to an id.

    It needs no vocabulary: the same word has the same id everywhere, which is all that a network
    with random weights can make use of.
    """

    PAD, CLS, SEP, FIRST, VOCABULARY, LIMIT = 0, 1, 2, 3, 1 << 15, 512

    def tokens(self, text: str) -> Tokens:
        """As in `Tokenizer`."""
        own = self.VOCABULARY - self.FIRST
        ids = [self.FIRST + crc32(word.encode()) % own for word in _words(text)]
        if not ids:
            raise MissingModalityError("empty text")
        return Tokens([self.CLS, *ids[: self.LIMIT - 2], self.SEP], len(ids) + 2)

    def spelled(self, text: str) -> list[str]:
        """As in `Tokenizer`."""
        return ["[CLS]", *_words(text)[: self.LIMIT - 2], "[SEP]"]


def _words(text: str) -> list[str]:
    """Words, punctuation and single Chinese characters, as BERT splits them."""
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    words = BertPreTokenizer().pre_tokenize_str(BertNormalizer().normalize_str(text))
    return [word for word, _ in words]


def spelled(weights: Weights, text: str) -> list[str]:
    """The tokens of a text as these weights see it, the special ones included; no network needed.

    Raises MissingModalityError where the text says nothing.
    """
    if weights.random:
        return HashedWords().spelled(whole_characters(text))
    config = transformer.loaded(
        "AutoConfig",
        weights,
        lambda kind: kind.from_pretrained(weights.path, local_files_only=True),
    )
    return _own_tokenizer(weights, config).spelled(whole_characters(text))


def _loaded(weights: Weights, device: str, precision: Precision) -> tuple[Any, Tokenizer]:
    def build() -> tuple[Any, Tokenizer]:
        model, tokenizer = (_random if weights.random else _checkpoint)(weights, device)
        return lowered(model, precision), tokenizer

    return load_once(("bert", weights.digest, device, precision), build)


def _checkpoint(weights: Weights, device: str) -> tuple[Any, Tokenizer]:
    model = transformer.load("AutoModel", weights, device, may_lack=["pooler."])
    return model, _own_tokenizer(weights, model.config)


def _own_tokenizer(weights: Weights, config: Any) -> Tokenizer:
    tokenizer = transformer.loaded(
        "AutoTokenizer",
        weights,
        lambda kind: kind.from_pretrained(weights.path, local_files_only=True),
    )
    return CheckpointTokenizer(tokenizer, config.max_position_embeddings)


def _random(weights: Weights, device: str) -> tuple[Any, Tokenizer]:
    shape = transformer.named("BertConfig")(
        vocab_size=HashedWords.VOCABULARY,
        max_position_embeddings=HashedWords.LIMIT,
        pad_token_id=HashedWords.PAD,
        hidden_size=RANDOM_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * RANDOM_WIDTH,
    )
    kind = transformer.named("BertModel")
    model = transformer.made_up(lambda: kind(shape, add_pooling_layer=False), device)
    # A state is to tell its word before its place and its neighbours: nothing was learnt from them.
    model.embeddings.token_type_embeddings.weight.zero_()
    model.embeddings.position_embeddings.weight.mul_(0.2)
    for layer in model.encoder.layer:
        layer.attention.output.dense.weight.mul_(0.5)
    return model, HashedWords()
