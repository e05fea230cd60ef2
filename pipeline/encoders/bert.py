"""A BERT, or another encoder of texts: from token ids to hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.encoders import engine as engines
from pipeline.encoders import engine_states, huggingface, packing
from pipeline.encoders.batching import batch_size, in_batches
from pipeline.encoders.engine import TORCH, Engine
from pipeline.encoders.engine_states import OneByOne
from pipeline.encoders.engine_trial import Subject
from pipeline.encoders.huggingface import Kept, Row
from pipeline.encoders.layers import LAST, Layer
from pipeline.encoders.precision import Precision, lowered
from pipeline.encoders.random_init import random_transformer
from pipeline.encoders.tokenizer import CheckpointTokenizer, HashedWords, Tokenizer, Tokens
from pipeline.weights.registry import load_once
from pipeline.weights.resolve import Weights

BATCH_TOKENS = 1 << 14
RANDOM_WIDTH = 128
TRIED = ((1, 24), (1, 9))  # texts of so many tokens
TAKEN = "text encoders, such as bert, roberta, t5 or llama"


@dataclass(frozen=True)
class Network:
    """A network of transformers and its tokenizer.

    rows: how many tokens of texts side by side may go at once; none where a text goes by itself.
    alone: what gives a text's states where that is another engine than torch.
    """

    model: Any
    tokenizer: Tokenizer
    precision: Precision
    rows: tuple[int, ...]
    alone: OneByOne | None = None

    def states(
        self, texts: Sequence[Tokens], layer: Layer, most: int, kept: Kept = np.arange
    ) -> list[np.ndarray]:
        """The hidden states that are `kept` of each text at `layer`, float32 [kept, width].

        most: texts a batch, on an accelerator.
        """
        ids = [np.array(text.ids) for text in texts]
        if self.alone or self.rows:
            every = map(self.alone, ids) if self.alone else self._packed(ids, layer)
            return [states[kept(len(states))] for states in every]
        rows = [Row(own, len(own), kept) for own in ids]
        padding = getattr(self.model.config, "pad_token_id", None) or 0

        def forward(indices: Sequence[int]) -> list[np.ndarray]:
            together = [rows[i] for i in indices]
            return huggingface.hidden_states(self.model, together, self.precision, layer, padding)

        size = batch_size(most, self.model.device.type)
        return in_batches(forward, [len(own) for own in ids], size, BATCH_TOKENS)

    def _packed(self, ids: Sequence[np.ndarray], layer: Layer) -> list[np.ndarray]:
        return packing.states(self.model, ids, self.rows, self.precision, layer)


def loaded(
    weights: Weights,
    device: str,
    precision: Precision,
    engine: Engine = TORCH,
    layer: Layer = LAST,
) -> Network:
    """The network of a checkpoint in the hub's layout or a small random one, once a process.

    engine: what computes `layer` on a CPU.
    """
    engine = engines.used(engine, precision, device)
    of_engine = None if engine == TORCH else layer

    def build() -> Network:
        model, tokenizer = fresh(weights, device)
        packs = packing.made_for(model)
        ids = model.get_input_embeddings().num_embeddings
        subject = Subject("bert", weights.digest, TRIED, str(layer), ids)
        alone = engine_states.engaged(model, subject, layer, engine)
        if alone:
            return Network(None, tokenizer, precision, (), alone)
        model = lowered(model, precision)
        rows = packing.lengths(model, precision) if packs else ()
        return Network(model, tokenizer, precision, rows)

    return load_once(("bert", weights.digest, device, precision, engine, of_engine), build)


def fresh(weights: Weights, device: str) -> tuple[Any, Tokenizer]:
    """A network of its own, which nobody else computes with, and its tokenizer."""
    return _random(device) if weights.random else _checkpoint(weights, device)


def _checkpoint(weights: Weights, device: str) -> tuple[Any, Tokenizer]:
    model = _encoder(weights, device)
    if model.main_input_name != "input_ids":
        raise huggingface.unfit(weights, model.config.model_type, TAKEN)
    model.config.use_cache = False  # of decoders, for a next word that nobody asks for
    tokenizer = CheckpointTokenizer(weights)
    tokenizer.require_fit(model.get_input_embeddings().num_embeddings)
    return model, tokenizer


def _encoder(weights: Weights, device: str) -> Any:
    """The whole network, or the half of it that reads: the tower for text, a T5's encoder."""
    config = huggingface.library_config(weights)
    halves = huggingface.named("MODEL_FOR_TEXT_ENCODING_MAPPING")
    is_half = config.is_encoder_decoder and type(config) in halves
    kind = "AutoModelForTextEncoding" if is_half else "AutoModel"
    model = huggingface.network(kind, weights, device, optional=["pooler."], config=config)
    return model.get_encoder() if config.is_encoder_decoder else model


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
