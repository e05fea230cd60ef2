"""A text's tokens as the last hidden states of a BERT."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import inf
from typing import Any, Protocol
from zlib import crc32

import numpy as np

from pipeline.encoders import huggingface
from pipeline.encoders.precision import Precision, as_floats, inference, lowered
from pipeline.errors import ClipError, MissingModalityError, UserError
from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, by_content, runtime, unless_default
from pipeline.stage.steps import Sampling, to_steps
from pipeline.stage.transcript import (
    TRANSCRIPT,
    UNKNOWN,
    doubt_of,
    text_of,
    unknown_share,
    whole_characters,
)
from pipeline.system.device import Device, device_of
from pipeline.system.spans import span
from pipeline.weights.registry import load_once
from pipeline.weights.repository import TEXT
from pipeline.weights.resolve import Source, Weights, find

BATCH_TOKENS = 1 << 14
# Of an embedding's rows; a published Indonesian BERT has the least, 30,521 tokens for 50,000 rows.
SMALLEST_VOCABULARY = 0.5
PROBED = 20  # words with capitals
OFFSET = frozenset(  # of models whose first places stand for padding
    ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "data2vec-text")
) | {"roberta-prelayernorm", "ibert", "xmod"}
RANDOM_WIDTH = 128


class Bert(Extractor):
    """One row a token, the special tokens included, sampled to `steps`.

    Texts beyond the model's limit are cut, with a note. A text of which many tokens are not in the
    vocabulary, as of another language, is doubtful. Source: Devlin et al. 2019.
    """

    version = 2
    reads = frozenset({"text"})
    may_take = {"transcript": TRANSCRIPT}

    class Settings(StageSettings):
        weights: str = by_content("bert-base-uncased")
        """A hub id, a folder in the hub's layout, or `random`."""

        revision: str | None = by_content(None)
        """Commit, branch or tag of a hub repository; null: its newest."""

        sampling: Sampling = "uniform"
        """How long sequences come to the common steps: rows picked, or means of equal windows."""

        precision: Precision = unless_default("float32")
        """Of the network's products; bfloat16 is faster on most devices and a little less exact."""

        batch_size: int = runtime(32, ge=1)
        """Texts that go through together on an accelerator; a processor takes them one by one."""

        device: Device = runtime("auto")
        """`auto` (cuda where there is one), `cpu`, `cuda`, `cuda:1` …"""

    settings: Settings

    def writes(self) -> dict[str, Field]:
        """As wide as the checkpoint's config says; `unknown`: the share of tokens that are."""
        width = huggingface.hidden_size(self.weights(), RANDOM_WIDTH)
        return {"features": Field(("step", width), "float32"), "unknown": UNKNOWN}

    def weights(self) -> Weights:
        """Network and tokenizer."""
        return find(self.settings.weights, TEXT, self.settings.revision)

    def models(self) -> list[Source]:
        return [Source(self.settings.weights, TEXT, self.settings.revision)]

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
            found = {"features": rows, "unknown": unknown_share(text.unknown, text.own)}
            results[index] = ClipResult.ok(found, len(rows), text.note, text.doubt)
        yield from (results[index] for index in range(len(batch)))

    def _states(self, model: Any, texts: Sequence[Tokens], device: str) -> list[np.ndarray]:
        """The last hidden states of each text, float32 [tokens, width]."""
        lengths = [len(text.ids) for text in texts]
        states: dict[int, np.ndarray] = {}
        most = huggingface.batch_size(self.settings.batch_size, device)
        for indices in huggingface.by_length(lengths, most, BATCH_TOKENS):
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
    """A text as the network takes it: ids with the special tokens, `total` before the cut.

    own: how many of those are the text's own, before the cut; unknown: which the vocabulary lacks.
    """

    ids: list[int]
    total: int
    own: int
    unknown: int = 0

    @property
    def note(self) -> str:
        """What the user should know."""
        kept = len(self.ids)
        return "" if kept == self.total else f"text cut: {kept} of {self.total} tokens kept"

    @property
    def doubt(self) -> str:
        """Why the features may mislead."""
        return doubt_of(self.unknown, self.own, "tokens are not in the vocabulary of these weights")


class Tokenizer(Protocol):
    """From a text to the ids of a network."""

    def tokens(self, text: str) -> Tokens:
        """Raises MissingModalityError where the text says nothing."""

    def spelled(self, text: str) -> list[str]:
        """What each of those tokens stands for, to be read by people."""


class CheckpointTokenizer:
    """The tokenizer that comes with a checkpoint."""

    def __init__(self, tokenizer: Any, limit: float) -> None:
        self._tokenizer = tokenizer
        self._limit = int(min(limit, tokenizer.model_max_length))
        self._unknown = tokenizer.unk_token_id
        self._lock = threading.Lock()  # it keeps the last call's truncation as a state

    def tokens(self, text: str) -> Tokens:
        """As in `Tokenizer`."""
        with self._lock:
            whole = self._tokenizer(text, verbose=False, return_special_tokens_mask=True)
            ids, special = whole["input_ids"], whole["special_tokens_mask"]
            own = [id for id, is_added in zip(ids, special, strict=True) if not is_added]
            total = len(ids)
            if total > self._limit:
                ids = self._tokenizer(text, truncation=True, max_length=self._limit)["input_ids"]
        if not own:
            raise MissingModalityError("empty text")
        return Tokens(ids, total, len(own), own.count(self._unknown))

    def require_fit(self, weights: Weights, rows: int) -> None:
        """Raise UserError unless the vocabulary can be the one that the network learnt.

        rows: of its embedding, which is often a little larger than the vocabulary, never smaller.
        """
        words = len(self._tokenizer)
        own = words - len(set(self._tokenizer.all_special_ids))
        if not SMALLEST_VOCABULARY * rows <= words <= rows or own < 1:
            raise UserError(
                f"weights {weights.id!r} at {weights.path}: their tokenizer knows {words} tokens, "
                f"{own} of them no special ones, but the network was trained on about {rows}; "
                "fetch the tokenizer's files (tokenizer.json, vocab.txt …) from where it is from"
            )
        if lost := self._lost_capitals():
            raise UserError(
                f"weights {weights.id!r} at {weights.path}: their vocabulary has capitals, "
                f"{lost!r} for one, which the tokenizer makes small; fetch tokenizer_config.json, "
                "in which `do_lower_case` is false, from where the weights are from"
            )

    def _lost_capitals(self) -> str:
        """A word with capitals, where the vocabulary has such and none of them is ever given."""
        known = self._tokenizer.get_vocab()
        special = set(self._tokenizer.all_special_tokens)
        words = [word for word in known if word.isalpha() and word not in special]
        capitals = sorted(word for word in words if word != word.lower())[:PROBED]

        def ids(text: str) -> list[int]:
            return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

        are_lost = [known[w] not in ids(w) and ids(w) == ids(w.lower()) for w in capitals]
        return capitals[0] if capitals and all(are_lost) else ""

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
        return Tokens([self.CLS, *ids[: self.LIMIT - 2], self.SEP], len(ids) + 2, len(ids))

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
    return _own_tokenizer(weights).spelled(whole_characters(text))


def _loaded(weights: Weights, device: str, precision: Precision) -> tuple[Any, Tokenizer]:
    def build() -> tuple[Any, Tokenizer]:
        model, tokenizer = (_random if weights.random else _checkpoint)(weights, device)
        return lowered(model, precision), tokenizer

    return load_once(("bert", weights.digest, device, precision), build)


def _checkpoint(weights: Weights, device: str) -> tuple[Any, Tokenizer]:
    model = huggingface.load("AutoModel", weights, device, may_lack=["pooler."])
    tokenizer = _own_tokenizer(weights)
    tokenizer.require_fit(weights, model.get_input_embeddings().num_embeddings)
    return model, tokenizer


def _own_tokenizer(weights: Weights) -> CheckpointTokenizer:
    assert weights.path is not None
    files = {path.name for path in weights.path.iterdir()}
    if not files & {"tokenizer.json", "vocab.txt", "vocab.json"} and not find_spec("sentencepiece"):
        raise UserError(
            f"weights {weights.id!r}: the vocabulary at {weights.path} is read with sentencepiece: "
            "pip install 'smp-sentiment[sentencepiece]'"
        )
    tokenizer = huggingface.loaded(
        "AutoTokenizer",
        weights,
        lambda kind: kind.from_pretrained(
            weights.path, local_files_only=True, trust_remote_code=False
        ),
    )
    return CheckpointTokenizer(tokenizer, _most_tokens(huggingface.config(weights)))


def _most_tokens(config: Mapping[str, Any]) -> float:
    """How many tokens a network has places for, by its config; models like RoBERTa waste some."""
    wasted = (config.get("pad_token_id") or 0) + 1 if config.get("model_type") in OFFSET else 0
    places = config.get("max_position_embeddings") or 0
    return places - wasted if places > 0 else inf


def _random(weights: Weights, device: str) -> tuple[Any, Tokenizer]:
    shape = huggingface.named("BertConfig")(
        vocab_size=HashedWords.VOCABULARY,
        max_position_embeddings=HashedWords.LIMIT,
        pad_token_id=HashedWords.PAD,
        hidden_size=RANDOM_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * RANDOM_WIDTH,
    )
    kind = huggingface.named("BertModel")
    model = huggingface.made_up(lambda: kind(shape, add_pooling_layer=False), device)
    # A state is to tell its word before its place and its neighbours: nothing was learnt from them.
    model.embeddings.token_type_embeddings.weight.zero_()
    model.embeddings.position_embeddings.weight.mul_(0.2)
    for layer in model.encoder.layer:
        layer.attention.output.dense.weight.mul_(0.5)
    return model, HashedWords()
