"""Speech as the last hidden states of a Wav2Vec2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from pydantic import Field as PydanticField

from pipeline.encoders import huggingface
from pipeline.encoders.precision import FULL, Precision, as_floats, inference, lowered
from pipeline.errors import UserError
from pipeline.media.waveform import FULL_SCALE, RATE_HZ
from pipeline.stage.extractor import Extractor
from pipeline.stage.field import SAMPLES, Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, by_content, runtime, unless_default
from pipeline.stage.steps import Sampling, to_steps
from pipeline.system.device import Device, device_of
from pipeline.system.spans import span
from pipeline.weights.registry import load_once
from pipeline.weights.repository import SOUND
from pipeline.weights.resolve import Source, Weights, find

BATCH_SAMPLES = 60 * RATE_HZ  # a forward pass keeps about 10 kB a sample of a large network
RANDOM_WIDTH = 64


class Wav2vec2(Extractor):
    """One row a frame (20 ms), sampled to `steps`; normalised as the checkpoint was trained.

    A clip's rows do not depend on the batch it fell into: networks with layer norm take clips of
    similar length together, padded and masked; those with group norm, which counts the padding in,
    only clips of equal length. Sound shorter than one frame is filled up with zeros to one.
    Source: Baevski et al. 2020; Wagner et al. 2023 for the default weights.
    """

    version = 1
    takes = {"samples": SAMPLES}

    class Settings(StageSettings):
        weights: str = by_content("audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim")
        """A hub id, a folder in the hub's layout, or `random`."""

        revision: str | None = by_content(None)
        """Commit, branch or tag of a hub repository; null: its newest."""

        sampling: Sampling = "uniform"
        """How long sequences come to the common steps: rows picked, or means of equal windows."""

        window_s: float = PydanticField(60.0, ge=1.0)
        """Longer sound goes through in windows of so many seconds, frame by frame the same ones,
        so that memory stays bounded; attention does not look beyond a window."""

        precision: Precision = unless_default("float32")
        """Of the network's products; bfloat16 is faster on most devices and a little less exact."""

        batch_size: int = runtime(16, ge=1)
        """Clips that go through together on an accelerator; a processor takes them one by one."""

        device: Device = runtime("auto")
        """`auto` (cuda where there is one), `cpu`, `cuda`, `cuda:1` …"""

    settings: Settings

    def writes(self) -> dict[str, Field]:
        """As wide as the checkpoint's config says."""
        width = huggingface.hidden_size(self.weights(), RANDOM_WIDTH)
        return {"features": Field(("step", width), "float32")}

    def weights(self) -> Weights:
        """Network and normalisation."""
        return find(self.settings.weights, SOUND, self.settings.revision)

    def models(self) -> list[Source]:
        return [Source(self.settings.weights, SOUND, self.settings.revision)]

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        """Clips of similar length go through the network together."""
        device, precision = device_of(self.settings.device), self.settings.precision
        network = _loaded(self.weights(), device, precision)
        window = round(self.settings.window_s * RATE_HZ)
        cut = [network.windows(network.normalised(i.rows["samples"]), window) for i in batch]
        states = iter(self._states(network, [window for windows in cut for window in windows]))
        for windows in cut:
            frames = np.concatenate([next(states) for _ in windows])
            rows = to_steps(frames, self.settings.sampling, self.steps)
            yield ClipResult.ok({"features": rows}, length=len(rows))

    def _states(self, network: Network, sounds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The last hidden states of each sound, float32 [frames, width]."""
        states: dict[int, np.ndarray] = {}
        batches = huggingface.by_length(
            [len(sound) for sound in sounds],
            huggingface.batch_size(self.settings.batch_size, network.model.device.type),
            BATCH_SAMPLES,
            equal=not network.masks,
        )
        for indices in batches:
            hidden = network.forward([sounds[index] for index in indices])
            states.update(zip(indices, hidden, strict=True))
        return [states[index] for index in range(len(sounds))]


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

    @span("network")
    def forward(self, sounds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The frames of each sound, from one padded batch."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        device = self.model.device
        rows = [torch.from_numpy(sound) for sound in sounds]
        values = pad_sequence(rows, batch_first=True).to(device)
        mask = None
        if self.masks:
            ones = [torch.ones(len(row), dtype=torch.long) for row in rows]
            mask = pad_sequence(ones, batch_first=True).to(device)
        with inference(self.precision, device):
            states = self.model(values, attention_mask=mask).last_hidden_state
        hidden = as_floats(states)
        return [hidden[i, : self.frames(len(sound))] for i, sound in enumerate(sounds)]


def _loaded(weights: Weights, device: str, precision: Precision = FULL) -> Network:
    def build() -> Network:
        network = (_random if weights.random else _checkpoint)(weights, device)
        return Network(lowered(network.model, precision), network.normaliser, precision)

    return load_once(("wav2vec2", weights.digest, device, precision), build)


def _checkpoint(weights: Weights, device: str) -> Network:
    kind = huggingface.config(weights).get("model_type")
    if kind != "wav2vec2":
        raise UserError(f"weights {weights.id!r} are of a {kind!r} model, not of a 'wav2vec2'")
    # The mask embedding stands in for masked frames in training alone.
    model = huggingface.load("Wav2Vec2Model", weights, device, may_lack=["masked_spec_embed"])
    normaliser = huggingface.loaded(
        "Wav2Vec2FeatureExtractor",
        weights,
        lambda kind: kind.from_pretrained(weights.path, local_files_only=True),
    )
    if normaliser.sampling_rate != RATE_HZ:
        raise UserError(
            f"weights {weights.id!r} are for sound at {normaliser.sampling_rate} Hz, not {RATE_HZ}"
        )
    return Network(model, normaliser)


def _random(weights: Weights, device: str) -> Network:
    shape = huggingface.named("Wav2Vec2Config")(
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
    kind = huggingface.named("Wav2Vec2Model")
    model = huggingface.made_up(lambda: kind(shape), device)
    return Network(model, huggingface.named("Wav2Vec2FeatureExtractor")(do_normalize=True))
