"""Small networks that hear letters, laid out as the hub has them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from tests.support.sound_encoders import HEARS, LARGE, _old
from tests.support.text_encoders import saved

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "|")
ENGLISH = "ETAONIHSRDLUMWCFGYPBVK'XJQZ"  # as facebook/wav2vec2-base-960h has them
CHINESE = "我很喜欢这个电影的是不一"


def save(
    folder: Path,
    letters: Sequence[str] = ENGLISH,
    as_format: str = "model.safetensors",
    kind: str = "Wav2Vec2ForCTC",
    large: bool = False,
) -> Path:
    """A checkpoint with seeded weights in `folder`, the same in either format."""
    vocabulary = {token: id for id, token in enumerate([*SPECIAL, *letters])}
    model_class = getattr(transformers, kind)
    shape = {**(LARGE if large else HEARS), "vocab_size": len(vocabulary), "pad_token_id": 0}
    torch.manual_seed(2)
    model = model_class(model_class.config_class(**shape))
    saved(folder, model, transformers.Wav2Vec2FeatureExtractor(), _old, as_format)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    special = {"unk_token": "<unk>", "pad_token": "<pad>", "word_delimiter_token": "|"}
    (folder / "tokenizer_config.json").write_text(json.dumps(special))
    return folder


def plain_log_probs(folder: Path, samples: np.ndarray) -> Any:
    """What transformers itself makes of one int16 sound: float32 [frames, tokens]."""
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    given = extractor(samples / np.float32(32_768), sampling_rate=16_000, return_tensors="pt")
    model = transformers.AutoModelForCTC.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(given.input_values).logits[0].log_softmax(dim=-1).numpy()
