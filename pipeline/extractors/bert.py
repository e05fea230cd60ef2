"""A text's tokens as the last hidden states of a BERT."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from zlib import crc32

import numpy as np

from pipeline import transformer
from pipeline.errors import ClipError, MissingModalityError
from pipeline.extractor import ClipInputs, ClipResult, Extractor, StageSettings, by_content, runtime
from pipeline.field import Field
from pipeline.steps import Sampling, to_steps
from pipeline.weights import Weights, device_of, find, load_once

BATCH_TOKENS = 1 << 14
RANDOM_WIDTH = 128


class Bert(Extractor):
    """One row a token, the special tokens included, sampled to `steps`.

    Texts beyond the model's limit are cut, with a note. Source: Devlin et al. 2019.
    """

    version = 1
    reads = frozenset({"text"})

    class Settings(StageSettings):
        weights: str = by_content("bert-base-uncased")
        """A hub id, a folder in the hub's layout, or `random`."""

        revision: str | None = by_content(None)
        """Commit, branch or tag of a hub repository; null: its newest."""

        sampling: Sampling = "uniform"
        """How long sequences come to the common steps: rows picked, or means of equal windows."""

        batch_size: int = runtime(32, ge=1)
        """Texts that go through together on an accelerator; a processor takes them one by one."""

        device: str = runtime("auto")
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
        model, tokenizer = _loaded(self.weights(), device)
        results: dict[int, ClipResult] = {}
        tokens: dict[int, Tokens] = {}
        for index, inputs in enumerate(batch):
            try:
                tokens[index] = tokenizer.tokens(_whole_characters(inputs.clip.text))
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
            for index, hidden in zip(indices, _forward(model, ids), strict=True):
                states[index] = hidden[: lengths[index]]
        return [states[index] for index in range(len(texts))]


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


class HashedWords:
    """BERT's own splitting into words and single Chinese characters, each hashed to an id.

    It needs no vocabulary: the same word has the same id everywhere, which is all that a network
    with random weights can make use of.
    """

    PAD, CLS, SEP, FIRST, VOCABULARY, LIMIT = 0, 1, 2, 3, 1 << 15, 512

    def tokens(self, text: str) -> Tokens:
        """As in `Tokenizer`."""
        from tokenizers.normalizers import BertNormalizer
        from tokenizers.pre_tokenizers import BertPreTokenizer

        words = BertPreTokenizer().pre_tokenize_str(BertNormalizer().normalize_str(text))
        ids = [self.FIRST + crc32(w.encode()) % (self.VOCABULARY - self.FIRST) for w, _ in words]
        if not ids:
            raise MissingModalityError("empty text")
        return Tokens([self.CLS, *ids[: self.LIMIT - 2], self.SEP], len(ids) + 2)


def _whole_characters(text: str) -> str:
    """`text` without lone surrogates, which no tokenizer takes; pairs become one character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _forward(model: Any, ids: Sequence[Sequence[int]]) -> np.ndarray:
    """Last hidden states float32 [texts, tokens, width]; rows past a text's end mean nothing."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    rows = [torch.tensor(row) for row in ids]
    padding = getattr(model.config, "pad_token_id", None) or 0
    padded = pad_sequence(rows, batch_first=True, padding_value=padding).to(model.device)
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True).to(model.device)
    with torch.inference_mode():
        states = model(input_ids=padded, attention_mask=mask).last_hidden_state
    return np.asarray(states.cpu().numpy(), np.float32)


def _loaded(weights: Weights, device: str) -> tuple[Any, Tokenizer]:
    key = ("bert", weights.digest, device)
    build = _random if weights.random else _checkpoint
    return load_once(key, lambda: build(weights, device))


def _checkpoint(weights: Weights, device: str) -> tuple[Any, Tokenizer]:
    model = transformer.load("AutoModel", weights, device, may_lack=["pooler."])
    tokenizer = transformer.loaded(
        "AutoTokenizer",
        weights,
        lambda kind: kind.from_pretrained(weights.path, local_files_only=True),
    )
    return model, CheckpointTokenizer(tokenizer, model.config.max_position_embeddings)


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
