"""A BERT, or another encoder of texts: from token ids to hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.encoders import huggingface
from pipeline.encoders.batching import batch_size, in_batches
from pipeline.encoders.precision import Precision, lowered
from pipeline.encoders.random_init import random_transformer
from pipeline.encoders.tokenizer import CheckpointTokenizer, HashedWords, Tokenizer, Tokens
from pipeline.weights.registry import load_once
from pipeline.weights.resolve import Weights

BATCH_TOKENS = 1 << 14
RANDOM_WIDTH = 128


@dataclass(frozen=True)
class Network:
    """A network of transformers and its tokenizer."""

    model: Any
    tokenizer: Tokenizer
    precision: Precision

    def states(self, texts: Sequence[Tokens], most: int) -> list[np.ndarray]:
        """The last hidden states of each text, float32 [tokens, width].

        most: texts a batch, on an accelerator.
        """
        ids = [np.array(text.ids) for text in texts]
        size = batch_size(most, self.model.device.type)
        return in_batches(self._forward, ids, size, BATCH_TOKENS)

    def _forward(self, ids: Sequence[np.ndarray]) -> list[np.ndarray]:
        padding = getattr(self.model.config, "pad_token_id", None) or 0
        hidden = huggingface.last_hidden_states(self.model, ids, self.precision, padding)
        return [of[: len(row)] for of, row in zip(hidden, ids, strict=True)]


def loaded(weights: Weights, device: str, precision: Precision) -> Network:
    """The network of a checkpoint in the hub's layout or a small random one, once a process."""

    def build() -> Network:
        model, tokenizer = _random(device) if weights.random else _checkpoint(weights, device)
        return Network(lowered(model, precision), tokenizer, precision)

    return load_once(("bert", weights.digest, device, precision), build)


def _checkpoint(weights: Weights, device: str) -> tuple[Any, Tokenizer]:
    model = huggingface.network("AutoModel", weights, device, optional=["pooler."])
    tokenizer = CheckpointTokenizer(weights)
    tokenizer.require_fit(model.get_input_embeddings().num_embeddings)
    return model, tokenizer


def _random(device: str) -> tuple[Any, Tokenizer]:
    model = random_transformer(
        "BertModel",
        device,
        vocab_size=HashedWords.VOCABULARY,
        max_position_embeddings=HashedWords.LIMIT,
        pad_token_id=HashedWords.PAD,
        hidden_size=RANDOM_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * RANDOM_WIDTH,
    )
    # A state is to tell its word before its place and its neighbours: nothing was learnt from them.
    model.embeddings.token_type_embeddings.weight.zero_()
    model.embeddings.position_embeddings.weight.mul_(0.2)
    for layer in model.encoder.layer:
        layer.attention.output.dense.weight.mul_(0.5)
    return model, HashedWords()
