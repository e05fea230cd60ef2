"""A Whisper: from sound to words, greedily."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from pipeline.encoders import huggingface
from pipeline.encoders.batching import batch_size
from pipeline.encoders.precision import FULL, inference
from pipeline.encoders.random_init import random_transformer
from pipeline.errors import UserError
from pipeline.media.waveform import FULL_SCALE, RATE_HZ
from pipeline.system.device import uploaded
from pipeline.system.process import silence
from pipeline.weights.registry import load_once
from pipeline.weights.resolve import Weights

# They tell whoever calls the library how to call it; no user can act on them.
NOISY = (
    "transformers.generation.configuration_utils",
    "transformers.generation.utils",
    "transformers.models.whisper.generation_whisper",
)
BLOCK = RATE_HZ // 10  # the quietest tenth of a second is where sound that is too long is split
SEARCHED = 5 * RATE_HZ  # from the last so many samples of a window


@dataclass(frozen=True)
class Whisper:
    """The network, what turns sound to what it is given, and its words.

    languages: those that it can be told, as `en` or `zh`; None: any, it has no use for it.
    """

    id: str
    model: Any
    spectra: Any
    words: Callable[[np.ndarray], Sequence[str]]
    languages: Sequence[str] | None

    def heard(self, sounds: Sequence[np.ndarray], language: str | None, most: int) -> list[str]:
        """What is said in each of the int16 sounds [n], of any length.

        most: windows of sound that go through together, on an accelerator. Raises UserError where
        the checkpoint does not know the language.
        """
        self.require(language)
        split = [windows(sound, int(self.spectra.n_samples)) for sound in sounds]
        every = [part for parts in split for part in parts]
        size = batch_size(most, self.model.device.type)
        texts = iter(
            text
            for start in range(0, len(every), size)
            for text in self._texts(every[start : start + size], language)
        )
        return [" ".join(filter(None, [next(texts) for _ in parts])) for parts in split]

    def require(self, language: str | None) -> None:
        """Raise UserError where the checkpoint does not know the language."""
        if language is not None and self.languages is not None and language not in self.languages:
            known = ", ".join(self.languages) or "none"
            raise UserError(
                f"weights {self.id!r} do not know the language {language!r} (known: {known}); set "
                "`language` of the stage to one that they know, or to null"
            )

    def require_times(self) -> None:
        """Raise UserError where the checkpoint does not say which heads tell when words are."""
        if not getattr(self.model.generation_config, "alignment_heads", None):
            raise UserError(
                f"weights {self.id!r} tell no times of words: their generation_config.json has no "
                "`alignment_heads`; take those of openai/whisper-… as they are on the hub"
            )

    def way(self, language: str | None) -> dict[str, Any]:
        """How the network goes from sound to words: the most probable ones."""
        is_told = getattr(self.model.generation_config, "is_multilingual", False)
        task = {"language": language, "task": "transcribe"} if is_told else {}
        return {"do_sample": False, "num_beams": 1, "temperature": 0.0, **task}

    def _texts(self, sounds: Sequence[np.ndarray], language: str | None) -> list[str]:
        """What is said in each of the sounds, none longer than a window."""
        scaled = [sound / np.float32(FULL_SCALE) for sound in sounds]
        given = self.spectra(scaled, sampling_rate=RATE_HZ, return_tensors="pt")
        features = uploaded(given.input_features, self.model.device)
        with inference(FULL, self.model.device):
            ids = self.model.generate(features, **self.way(language)).cpu().numpy()
        return [text.strip() for text in self.words(ids)]


def windows(samples: np.ndarray, longest: int) -> list[np.ndarray]:
    """`samples` [n] in parts of at most `longest`, split where it is quietest near the end of each.

    Silence alone is no part.
    """
    parts = []
    while len(samples) > longest:
        searched = samples[longest - SEARCHED : longest].astype(np.float32)
        quietest = int(np.abs(searched).reshape(-1, BLOCK).mean(axis=1).argmin())
        stop = longest - SEARCHED + quietest * BLOCK + BLOCK // 2
        parts.append(samples[:stop])
        samples = samples[stop:]
    return [part for part in [*parts, samples] if part.any()]


def loaded(weights: Weights, device: str) -> Whisper:
    """The network of a checkpoint in the hub's layout or a small random one, once a process."""
    silence(*NOISY)
    key = ("asr", weights.digest, device)
    build = _random if weights.random else _checkpoint
    return load_once(key, lambda: build(weights, device))


def _checkpoint(weights: Weights, device: str) -> Whisper:
    huggingface.config(weights, "whisper")
    # The output layer is the embedding of the words.
    model = huggingface.network("WhisperForConditionalGeneration", weights, device, ["proj_out."])
    model.generation_config.max_length = model.config.max_target_positions
    processor = huggingface.from_pretrained("WhisperProcessor", weights)
    spectra, tokenizer = processor.feature_extractor, processor.tokenizer
    huggingface.require_rate(weights, spectra.sampling_rate)

    def words(ids: np.ndarray) -> Sequence[str]:
        return tokenizer.batch_decode(ids, skip_special_tokens=True)

    return Whisper(weights.id, model, spectra, words, _languages(model.generation_config))


def _languages(config: Any) -> list[str]:
    """The languages that can be told, as `en` or `zh`, by a checkpoint's generation_config."""
    if not getattr(config, "is_multilingual", True):
        return ["en"]
    return [token.strip("<|>") for token in getattr(config, "lang_to_id", None) or {}]


def _random(weights: Weights, device: str) -> Whisper:
    """A stammer of syllables, of the same ones for the same sound."""
    syllables = ["", "", *map("".join, product("bdfgklmnprstv", "aeiou"))]  # padding and the end
    model = random_transformer(
        "WhisperForConditionalGeneration",
        device,
        vocab_size=len(syllables),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_target_positions=16,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model.generation_config.max_length = model.config.max_target_positions
    model.generation_config.min_length = 4
    model.generation_config.alignment_heads = [[0, 0]]
    spectra = huggingface.named("WhisperFeatureExtractor")()

    def words(ids: np.ndarray) -> Sequence[str]:
        return [" ".join(filter(None, (syllables[i] for i in row))) for row in ids]

    return Whisper(weights.id, model, spectra, words, languages=None)
