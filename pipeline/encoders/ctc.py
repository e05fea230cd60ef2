"""A network that hears letters: a Wav2Vec2 with a CTC head, or one of its kin."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from zlib import crc32

import numpy as np

from pipeline.encoders import huggingface, wav2vec2
from pipeline.encoders.layers import LAST
from pipeline.encoders.precision import FULL, as_floats, inference
from pipeline.encoders.random_init import random_transformer
from pipeline.errors import UserError
from pipeline.system.device import uploaded
from pipeline.weights.registry import load_once
from pipeline.weights.resolve import Weights

KINDS = tuple(kind for kind in wav2vec2.KINDS if kind != wav2vec2.WHISPER)
RANDOM_TOKENS = 64


class Alphabet(Protocol):
    """blank: the token of nothing. gap: that between words, None where there is none."""

    @property
    def blank(self) -> int: ...

    @property
    def gap(self) -> int | None: ...

    def letters(self, word: str) -> list[int]:
        """The tokens of those letters of a word that are known."""


@dataclass(frozen=True)
class Vocabulary:
    """That of a checkpoint. tokens: by letter."""

    tokens: Mapping[str, int]
    blank: int
    gap: int | None

    def letters(self, word: str) -> list[int]:
        """A letter that is not known stands for itself in the other case, or without its accent."""
        found = (self._token(letter) for letter in word.replace("’", "'"))
        return [token for token in found if token is not None]

    def _token(self, letter: str) -> int | None:
        plain = unicodedata.normalize("NFKD", letter)[0]
        forms = (form for base in (letter, plain) for form in (base, base.upper(), base.lower()))
        return next((self.tokens[form] for form in forms if form in self.tokens), None)


@dataclass(frozen=True)
class HashedLetters:
    """Any letter of any script as one of a few tokens, for a network that learnt none."""

    blank: int = 0
    gap: int | None = 1

    def letters(self, word: str) -> list[int]:
        return [2 + crc32(letter.lower().encode()) % (RANDOM_TOKENS - 2) for letter in word]


@dataclass(frozen=True)
class Network:
    """An encoder of speech, and the head that makes probabilities of letters of its states."""

    encoder: wav2vec2.Network
    head: Any
    alphabet: Alphabet

    def log_probs(
        self, sounds: Sequence[np.ndarray], window: int, most: int
    ) -> Iterator[np.ndarray]:
        """Of each of the int16 sounds [n], the logarithms of its tokens': float32 [frames, tokens].

        window: the most samples that are attended to at once. most: windows a batch, on an
        accelerator.
        """
        for states in self.encoder.states(sounds, window, LAST, most):
            yield self._judged(states)

    def _judged(self, states: np.ndarray) -> np.ndarray:
        import torch

        device = self.encoder.model.device
        given = uploaded(torch.from_numpy(states), device)
        with inference(FULL, device):
            scores = self.head(given)
            return np.asarray(as_floats(scores.log_softmax(dim=-1)))


def loaded(weights: Weights, device: str) -> Network:
    """The network of a checkpoint in the hub's layout or a small random one, once a process."""

    def build() -> Network:
        model, alphabet = _random(device) if weights.random else _checkpoint(weights, device)
        front = wav2vec2.front_end(weights, model.config)
        return Network(wav2vec2.Network(model.base_model, front), model.lm_head, alphabet)

    return load_once(("ctc", weights.digest, device), build)


def _checkpoint(weights: Weights, device: str) -> tuple[Any, Alphabet]:
    kind = huggingface.config(weights, *KINDS)["model_type"]
    unused = f"{kind.replace('-', '_')}.masked_spec_embed"  # it stands in for frames in training
    model = huggingface.network("AutoModelForCTC", weights, device, [unused])
    tokenizer = huggingface.from_pretrained("Wav2Vec2CTCTokenizer", weights)
    known, special = tokenizer.get_vocab(), {*tokenizer.all_special_ids}
    blank, rows = model.config.pad_token_id, model.config.vocab_size
    gap = known.get(tokenizer.word_delimiter_token, rows)
    others = special | {blank, gap}
    letters = {token: id for token, id in known.items() if len(token) == 1 and id not in others}
    if blank not in range(rows) or not letters or max(letters.values()) >= rows:
        raise UserError(
            f"weights {weights.id!r} at {weights.path}: vocab.json, with {len(letters)} letters, "
            f"does not fit a network for {rows} tokens; fetch it and config.json from where the "
            "weights are from"
        )
    return model, Vocabulary(letters, blank, gap if gap < rows else None)


def _random(device: str) -> tuple[Any, Alphabet]:
    model = random_transformer(
        "Wav2Vec2ForCTC", device, vocab_size=RANDOM_TOKENS, **wav2vec2.RANDOM_SHAPE
    )
    return model, HashedLetters()
