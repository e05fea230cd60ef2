"""ResNet18 up to the 512 values before its classifier, from whatever checkpoint holds one."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch.nn import functional as F
from torchvision.models import resnet18

from pipeline.encoders import engine as engines
from pipeline.encoders.engine import TORCH, Engine
from pipeline.encoders.engine_trial import Subject
from pipeline.encoders.few_at_once import PICTURES, FewAtOnce
from pipeline.encoders.precision import FULL, Precision, as_floats, inference, lowered
from pipeline.encoders.random_init import random_init
from pipeline.system.device import uploaded
from pipeline.system.spans import span
from pipeline.weights.checkpoint import read_tensors
from pipeline.weights.registry import load_once
from pipeline.weights.resolve import Weights
from pipeline.weights.tensors import digest_of

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # rgb, of ImageNet
# A backbone taken out with `nn.Sequential(*resnet.children())` numbers its parts instead.
NUMBERED = {"conv1": "0", "bn1": "1", **{f"layer{i}": str(i + 3) for i in (1, 2, 3, 4)}}
# transformers' ResNetModel, `microsoft/resnet-18` on the hub.
HUB_STEM = {"conv1": "convolution", "bn1": "normalization"}
HUB_BLOCK = {
    "conv1": "layer.0.convolution", "bn1": "layer.0.normalization",
    "conv2": "layer.1.convolution", "bn2": "layer.1.normalization",
    "downsample.0": "shortcut.convolution", "downsample.1": "shortcut.normalization",
}  # fmt: skip


def loaded(
    weights: Weights, device: str, precision: Precision, engine: Engine = TORCH, input_px: int = 224
) -> torch.nn.Module:
    """The backbone of a checkpoint file or a random one, once a process.

    engine: what computes it on a CPU, for faces of `input_px`.
    """
    engine = engines.used(engine, precision, device)

    def build() -> torch.nn.Module:
        if weights.path is None:
            network = at_random(device, precision)
        else:
            network = from_checkpoint(weights.path, device, precision)
        of = Subject("resnet18", weights.digest, ((PICTURES, 3, input_px, input_px),))
        by_torch = FewAtOnce(network) if device == "cpu" else network
        return cast(torch.nn.Module, engines.engaged(network, of, engine) or by_torch)

    key = ("resnet18", weights.digest, device, precision, engine, input_px)
    return load_once(key, build)


def from_checkpoint(path: Path, device: str, precision: Precision = FULL) -> torch.nn.Module:
    """The backbone in a .pt, .pth or .safetensors file; raises UserError unless all of it is."""
    network = at_random("cpu")
    state = {name: tensor.float() for name, tensor in backbone_in(path).items()}
    network.load_state_dict(state, strict=False)  # the counts of batches seen are not needed
    return cast(torch.nn.Module, lowered(network.to(device), precision))


def at_random(device: str, precision: Precision = FULL) -> torch.nn.Module:
    """The whole architecture with seeded weights."""

    def build() -> torch.nn.Module:
        network = resnet18(weights=None)
        network.fc = torch.nn.Identity()
        return network

    return cast(torch.nn.Module, lowered(random_init(build, device), precision))


@span("network")
def features(
    network: torch.nn.Module, faces: np.ndarray, input_px: int, precision: Precision = FULL
) -> np.ndarray:
    """uint8 rgb `faces` [n, h, w, 3] to float32 [n, 512]."""
    device = next(network.parameters()).device
    x = uploaded(torch.from_numpy(faces), device).permute(0, 3, 1, 2).float() / 255
    if x.shape[-2:] != (input_px, input_px):
        size = (input_px, input_px)
        x = F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
    mean, std = (uploaded(torch.tensor(of).view(3, 1, 1), device) for of in (MEAN, STD))
    with inference(precision, device):
        return cast(np.ndarray, as_floats(network((x - mean) / std)))


def digest(path: Path) -> str:
    """Over the backbone in a checkpoint file, by torchvision's names, whatever is around it."""
    return digest_of(backbone_in(path))


def backbone_in(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a ResNet18 backbone by torchvision's names, whatever the file calls them.

    Raises UserError where one is missing or has another shape, where there is more than one
    backbone or a deeper one.
    """
    with torch.device("meta"):
        wanted = {**resnet18(weights=None).state_dict()}
    wanted = {name: tensor for name, tensor in wanted.items() if not name.startswith("fc.")}
    # All that a ResNet18 has is in a ResNet34 too, which has a third block in this layer.
    deeper = "layer2.2.bn2.weight"
    return read_tensors(
        path, wanted, "ResNet18", other_names=[_numbered, _on_the_hub], without=[deeper]
    )


def _numbered(name: str) -> str:
    part, rest = name.split(".", 1)
    return f"{NUMBERED[part]}.{rest}"


def _on_the_hub(name: str) -> str:
    module, tensor = name.rsplit(".", 1)
    if module in HUB_STEM:
        return f"embedder.embedder.{HUB_STEM[module]}.{tensor}"
    layer, block, part = module.split(".", 2)
    return f"encoder.stages.{int(layer[-1]) - 1}.layers.{block}.{HUB_BLOCK[part]}.{tensor}"
