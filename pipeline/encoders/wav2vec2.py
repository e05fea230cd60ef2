"""A Wav2Vec2: from sound to hidden states, in batches and windows that bound memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pipeline.encoders import huggingface
from pipeline.encoders.batching import batch_size, in_batches
from pipeline.encoders.precision import FULL, Precision, lowered
from pipeline.encoders.random_init import random_transformer
from pipeline.media.waveform import FULL_SCALE, RATE_HZ
from pipeline.weights.registry import load_once
from pipeline.weights.resolve import Weights

BATCH_SAMPLES = 60 * RATE_HZ  # a forward pass keeps about 10 kB a sample of a large network
RANDOM_WIDTH = 64


@dataclass(frozen=True)
class Network:
    """A Wav2Vec2Model, the feature extractor it was trained with, and the sizes they imply."""

    model: Any
    normaliser: Any
    precision: Precision = FULL

    @property
    def masks(self) -> bool:
        """Whether the network can leave padding out of account."""
        return bool(self.model.config.feat_extract_norm == "layer")

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return prod(self.model.config.conv_stride)

    @property
    def field(self) -> int:
        """Samples that a frame is made from."""
        config = self.model.config
        reach, field = 1, 1
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            field += (kernel - 1) * reach
            reach *= stride
        return field

    def frames(self, samples: int) -> int:
        """How many frames come from so many samples."""
        return (samples - self.field) // self.hop + 1

    def states(self, sounds: Sequence[np.ndarray], window: int, most: int) -> list[np.ndarray]:
        """All frames of each of the int16 sounds [n], float32 [frames, width].

        window: the most samples that are attended to at once. most: windows a batch, on an
        accelerator.
        """
        split = [self.windows(self.normalised(sound), window) for sound in sounds]
        every = [part for parts in split for part in parts]
        size = batch_size(most, self.model.device.type)
        hidden = iter(in_batches(self.forward, every, size, BATCH_SAMPLES, equal=not self.masks))
        return [np.concatenate([next(hidden) for _ in parts]) for parts in split]

    def normalised(self, samples: np.ndarray) -> np.ndarray:
        """int16 samples [n] as the checkpoint wants them, float32 and at least one frame's."""
        sound = np.pad(samples, (0, max(self.field - len(samples), 0))) / np.float32(FULL_SCALE)
        values = self.normaliser(sound, sampling_rate=RATE_HZ, return_tensors="np").input_values
        return np.asarray(values[0], np.float32)

    def windows(self, sound: np.ndarray, longest: int) -> list[np.ndarray]:
        """`sound` in parts of at most `longest` samples which give the whole sound's frames."""
        if len(sound) <= longest:
            return [sound]
        step = self.frames(longest) * self.hop
        overlap = self.field - self.hop
        starts = range(0, self.frames(len(sound)) * self.hop, step)
        return [sound[start : start + step + overlap] for start in starts]

    def forward(self, sounds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The frames of each sound, from one padded batch."""
        hidden = huggingface.last_hidden_states(self.model, sounds, self.precision, mask=self.masks)
        return [of[: self.frames(len(sound))] for of, sound in zip(hidden, sounds, strict=True)]


def loaded(weights: Weights, device: str, precision: Precision = FULL) -> Network:
    """The network of a checkpoint in the hub's layout or a small random one, once a process."""

    def build() -> Network:
        model, normaliser = (_random if weights.random else _checkpoint)(weights, device)
        return Network(lowered(model, precision), normaliser, precision)

    return load_once(("wav2vec2", weights.digest, device, precision), build)


def _checkpoint(weights: Weights, device: str) -> tuple[Any, Any]:
    huggingface.config(weights, "wav2vec2")
    # The mask embedding stands in for masked frames in training alone.
    model = huggingface.network("Wav2Vec2Model", weights, device, optional=["masked_spec_embed"])
    normaliser = huggingface.from_pretrained("Wav2Vec2FeatureExtractor", weights)
    huggingface.require_rate(weights, normaliser.sampling_rate)
    return model, normaliser


def _random(weights: Weights, device: str) -> tuple[Any, Any]:
    model = random_transformer(
        "Wav2Vec2Model",
        device,
        hidden_size=RANDOM_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * RANDOM_WIDTH,
        conv_dim=(32,) * 7,
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    )
    return model, huggingface.named("Wav2Vec2FeatureExtractor")(do_normalize=True)
