"""Small checkpoints of the families of speech encoders, laid out as the hub has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from tests.support.text_encoders import BIN, FORMATS, SAFE, saved

SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
    "initializer_range": 0.3,
}  # fmt: skip
HEARS = {
    **SIZES, "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
LARGE = {**HEARS, "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}


@dataclass(frozen=True)
class Family:
    """example: one on the hub. saved: the class whose tensors its checkpoint holds. prepared: by
    this feature extractor. formats: of its checkpoints on the hub.
    """

    example: str
    saved: str
    shape: Mapping[str, Any] = field(default_factory=lambda: HEARS)
    prepared: str = "Wav2Vec2FeatureExtractor"
    how: Mapping[str, Any] = field(default_factory=dict)
    formats: tuple[str, ...] = FORMATS

    def save(self, folder: Path, as_format: str = "model.safetensors") -> Path:
        """A checkpoint with seeded weights in `folder`, the same in either format."""
        kind = getattr(transformers, self.saved)
        torch.manual_seed(2)
        model = kind(kind.config_class(**self.shape))
        return saved(folder, model, self.extractor(), _old, as_format)

    def extractor(self) -> Any:
        return getattr(transformers, self.prepared)(**self.how)

    def plain_states(self, folder: Path, samples: np.ndarray, **how: Any) -> Any:
        """What transformers itself makes of one int16 sound, with no batch: its output."""
        given = transformers.AutoFeatureExtractor.from_pretrained(folder)(
            samples / np.float32(32_768), sampling_rate=16_000, return_tensors="pt"
        )
        model = transformers.AutoModel.from_pretrained(folder).eval()
        network = model.get_encoder() if self.prepared.startswith("Whisper") else model
        with torch.no_grad():
            return network(**given, **how)


def _old(name: str) -> str:
    """As weight norm was called when these checkpoints were made."""
    name = name.replace("parametrizations.weight.original0", "weight_g")
    return name.replace("parametrizations.weight.original1", "weight_v")


FAMILIES: dict[str, Family] = {
    "wav2vec 2.0 base": Family("facebook/wav2vec2-base", "Wav2Vec2ForPreTraining"),
    "wav2vec 2.0 large, XLS-R": Family(
        "facebook/wav2vec2-xls-r-300m", "Wav2Vec2ForPreTraining", LARGE
    ),
    "HuBERT base": Family("facebook/hubert-base-ls960", "HubertModel", formats=BIN),
    "HuBERT large": Family("facebook/hubert-large-ll60k", "HubertModel", LARGE, formats=BIN),
    "WavLM base": Family(
        "microsoft/wavlm-base-plus", "WavLMModel", how={"do_normalize": False}, formats=BIN
    ),
    "WavLM large": Family("microsoft/wavlm-large", "WavLMModel", LARGE, formats=BIN),
    "data2vec audio": Family(
        "facebook/data2vec-audio-base", "Data2VecAudioModel",
        {**HEARS, "num_conv_pos_embeddings": 2}, formats=BIN,
    ),
    "UniSpeech": Family("microsoft/unispeech-large-1500h-cv", "UniSpeechForPreTraining", LARGE,
                        formats=BIN),
    "UniSpeech-SAT": Family("microsoft/unispeech-sat-base-plus", "UniSpeechSatForPreTraining",
                            formats=BIN),
    "wav2vec 2.0 Conformer": Family(
        "facebook/wav2vec2-conformer-rel-pos-large", "Wav2Vec2ConformerForPreTraining", LARGE,
        formats=BIN,
    ),
    "w2v-BERT 2.0": Family(
        "facebook/w2v-bert-2.0", "Wav2Vec2BertModel",
        {**SIZES, "feature_projection_input_dim": 160, "add_adapter": False},
        "SeamlessM4TFeatureExtractor", formats=SAFE,
    ),
    "Whisper (the encoder)": Family(
        "openai/whisper-base", "WhisperForConditionalGeneration",
        {"d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2,
         "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
         "vocab_size": 40, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
         "decoder_start_token_id": 1, "init_std": 0.3},
        "WhisperFeatureExtractor",
    ),
}  # fmt: skip
