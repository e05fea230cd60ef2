"""A Wav2Vec2, or another encoder of speech: from sound to hidden states, within bounded memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.encoders import engine as engines
from pipeline.encoders import engine_states, huggingface
from pipeline.encoders.batching import batch_size, in_batches
from pipeline.encoders.engine import TORCH, Engine
from pipeline.encoders.engine_states import OneByOne
from pipeline.encoders.engine_trial import Subject
from pipeline.encoders.front_ends import FrontEnd, MelFrames, MelWindows, Waveform
from pipeline.encoders.huggingface import Kept, Row
from pipeline.encoders.layers import LAST, Layer
from pipeline.encoders.precision import FULL, Precision, lowered
from pipeline.encoders.random_init import random_transformer
from pipeline.media.waveform import RATE_HZ
from pipeline.weights.registry import load_once
from pipeline.weights.resolve import Weights

BATCH_SAMPLES = 60 * RATE_HZ  # a forward pass keeps about 10 kB a sample of a large network
RANDOM_WIDTH = 64
TRIED = (2 * RATE_HZ, 20123)  # samples: sounds of such lengths
# In these, convolutions over states see zeros where there is padding, as at the end of a sound.
MASKING = ("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat")
W2V_BERT, WHISPER = "wav2vec2-bert", "whisper"
RANDOM_SHAPE = {
    "hidden_size": RANDOM_WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 2 * RANDOM_WIDTH, "conv_dim": (32,) * 7, "conv_bias": True,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True, "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
KINDS = (*MASKING, "data2vec-audio", "wav2vec2-conformer", W2V_BERT, WHISPER)


@dataclass(frozen=True)
class Network:
    """An encoder of transformers, and what it is given of a sound.

    alone: what gives the states of one stretch where that is another engine than torch.
    """

    model: Any
    front: FrontEnd
    precision: Precision = FULL
    alone: OneByOne | None = None

    def states(
        self,
        sounds: Sequence[np.ndarray],
        window: int,
        layer: Layer,
        most: int,
        kept: Kept = np.arange,
    ) -> list[np.ndarray]:
        """States of each of the int16 sounds [n] at `layer`, float32 [states, width].

        window: the most samples that are attended to at once. most: windows a batch, on an
        accelerator. kept: which states of a sound of one window are asked for; of others all come.
        """
        split = [self.front.parts(sound, window) for sound in sounds]
        rows = [
            Row(part.row, part.states, kept if len(parts) == 1 else np.arange)
            for parts in split
            for part in parts
        ]

        def forward(indices: Sequence[int]) -> list[np.ndarray]:
            return self.forward([rows[i] for i in indices], layer)

        room = BATCH_SAMPLES // self.front.samples
        size = 1 if self.alone else batch_size(most, self.model.device.type)
        equal = not self.front.masks
        found = iter(in_batches(forward, [len(row.given) for row in rows], size, room, equal))
        return [np.concatenate([next(found) for _ in parts]) for parts in split]

    def forward(self, rows: Sequence[Row], layer: Layer) -> list[np.ndarray]:
        """The states that are kept of each row, from one padded batch."""
        if self.alone:
            every = [(row, self.alone(row.given)) for row in rows]
            return [states[row.kept(min(row.states, len(states)))] for row, states in every]
        mask = self.front.masks
        return huggingface.hidden_states(self.model, rows, self.precision, layer, mask=mask)


def loaded(
    weights: Weights,
    device: str,
    precision: Precision = FULL,
    engine: Engine = TORCH,
    layer: Layer = LAST,
) -> Network:
    """The network of a checkpoint in the hub's layout or a small random one, once a process.

    engine: what computes `layer` on a CPU.
    """
    engine = engines.used(engine, precision, device)
    of_engine = None if engine == TORCH else layer

    def build() -> Network:
        model, front = (_random if weights.random else _checkpoint)(weights, device)
        subject = Subject("wav2vec2", weights.digest, _tried(front), str(layer))
        alone = engine_states.engaged(model, subject, layer, engine)
        return Network(None if alone else lowered(model, precision), front, precision, alone)

    return load_once(("wav2vec2", weights.digest, device, precision, engine, of_engine), build)


def _tried(front: FrontEnd) -> tuple[tuple[int, ...], ...]:
    """The shapes of what the network is given of sounds on which engines are tried."""
    silences = (np.zeros(samples, np.int16) for samples in TRIED)
    shapes = [(1, *front.parts(silence, len(silence))[0].row.shape) for silence in silences]
    return tuple(dict.fromkeys(shapes))


def _checkpoint(weights: Weights, device: str) -> tuple[Any, FrontEnd]:
    huggingface.config(weights, *KINDS)
    # The mask embedding stands in for masked frames in training alone.
    model = huggingface.network("AutoModel", weights, device, optional=["masked_spec_embed"])
    # The library calls torch so in every pass of a WavLM; no user can act on it.
    warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask", UserWarning)
    front = front_end(weights, model.config)
    return (model.get_encoder() if model.config.model_type == WHISPER else model), front


def front_end(weights: Weights, config: Any) -> FrontEnd:
    """What the network with that config is given of a sound; UserError for sound at other rates."""
    if weights.random:
        return _waveform(config, huggingface.named("Wav2Vec2FeatureExtractor")(do_normalize=True))
    extractors = {W2V_BERT: "SeamlessM4TFeatureExtractor", WHISPER: "WhisperFeatureExtractor"}
    name = extractors.get(config.model_type, "Wav2Vec2FeatureExtractor")
    extractor = huggingface.from_pretrained(name, weights)
    huggingface.require_rate(weights, extractor.sampling_rate)
    if config.model_type == W2V_BERT:
        return MelFrames(extractor, masks=not config.add_adapter)
    if config.model_type == WHISPER:
        return MelWindows(extractor, config.max_source_positions)
    return _waveform(config, extractor)


def _waveform(config: Any, normaliser: Any) -> Waveform:
    """Batch norm, group norm and convolutions without a mask count the padding in."""
    is_by_layer = getattr(config, "feat_extract_norm", "") == "layer"
    is_plain = not (
        getattr(config, "conv_pos_batch_norm", False) or getattr(config, "add_adapter", False)
    )
    masks = config.model_type in MASKING and is_by_layer and is_plain
    return Waveform(normaliser, config.conv_kernel, config.conv_stride, masks)


def _random(weights: Weights, device: str) -> tuple[Any, FrontEnd]:
    model = random_transformer("Wav2Vec2Model", device, **RANDOM_SHAPE)
    return model, front_end(weights, model.config)
