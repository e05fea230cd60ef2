"""A Whisper: from sound to words, greedily."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from pipeline.encoders import huggingface
from pipeline.errors import UserError
from pipeline.media.waveform import FULL_SCALE, RATE_HZ
from pipeline.system.process import silence
from pipeline.weights.registry import load_once
from pipeline.weights.resolve import Weights

# They tell whoever calls the library how to call it; no user can act on them.
NOISY = ("transformers.generation.utils", "transformers.models.whisper.generation_whisper")


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

    @property
    def window(self) -> int:
        """The most samples that it hears at a time."""
        return int(self.spectra.n_samples)

    def require(self, language: str | None) -> None:
        """Raise UserError where the checkpoint does not know the language."""
        if language is not None and self.languages is not None and language not in self.languages:
            known = ", ".join(self.languages) or "none"
            raise UserError(
                f"weights {self.id!r} do not know the language {language!r} (known: {known}); set "
                "`language` of the stage to one that they know, or to null"
            )

    def texts(self, sounds: Sequence[np.ndarray], language: str | None) -> list[str]:
        """What is said in each of the int16 sounds, none longer than `window`."""
        import torch

        scaled = [sound / np.float32(FULL_SCALE) for sound in sounds]
        given = self.spectra(scaled, sampling_rate=RATE_HZ, return_tensors="pt")
        features = given.input_features.to(self.model.device)
        config = self.model.generation_config
        is_told = getattr(config, "is_multilingual", False)
        task = {"language": language, "task": "transcribe"} if is_told else {}
        with torch.inference_mode():
            ids = self.model.generate(
                features, do_sample=False, num_beams=1, temperature=0.0, **task
            )
        return [text.strip() for text in self.words(ids.cpu().numpy())]


def loaded(weights: Weights, device: str) -> Whisper:
    """The network of a checkpoint in the hub's layout or a small random one, once a process."""
    silence(*NOISY)
    key = ("asr", weights.digest, device)
    build = _random if weights.random else _checkpoint
    return load_once(key, lambda: build(weights, device))


def _checkpoint(weights: Weights, device: str) -> Whisper:
    kind = huggingface.config(weights).get("model_type")
    if kind != "whisper":
        raise UserError(f"weights {weights.id!r} are of a {kind!r} model, not of a 'whisper'")
    # The output layer is the embedding of the words.
    model = huggingface.load("WhisperForConditionalGeneration", weights, device, ["proj_out."])
    model.generation_config.max_length = model.config.max_target_positions
    processor = huggingface.loaded(
        "WhisperProcessor",
        weights,
        lambda kind: kind.from_pretrained(weights.path, local_files_only=True),
    )
    spectra, tokenizer = processor.feature_extractor, processor.tokenizer
    if spectra.sampling_rate != RATE_HZ:
        raise UserError(
            f"weights {weights.id!r} are for sound at {spectra.sampling_rate} Hz, not {RATE_HZ}"
        )

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
    shape = huggingface.named("WhisperConfig")(
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
    kind = huggingface.named("WhisperForConditionalGeneration")
    model = huggingface.made_up(lambda: kind(shape), device)
    model.generation_config.max_length = shape.max_target_positions
    model.generation_config.min_length = 4
    spectra = huggingface.named("WhisperFeatureExtractor")()

    def words(ids: np.ndarray) -> Sequence[str]:
        return [" ".join(filter(None, (syllables[i] for i in row))) for row in ids]

    return Whisper(weights.id, model, spectra, words, languages=None)
