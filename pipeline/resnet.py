"""ResNet18 up to the 512 values before its classifier, from whatever checkpoint holds one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch.nn import functional as F
from torchvision.models import resnet18

from pipeline.checkpoint import read_tensors
from pipeline.errors import UserError
from pipeline.precision import FULL, Precision, as_floats, inference, lowered
from pipeline.trace import span
from pipeline.transformer import made_up

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # rgb, of ImageNet
# A backbone cut out with `nn.Sequential(*resnet.children())` numbers its parts instead.
NUMBERED = {"conv1": "0", "bn1": "1", **{f"layer{i}": str(i + 3) for i in (1, 2, 3, 4)}}

Tensors = Mapping[str, torch.Tensor]


def from_checkpoint(path: Path, device: str, precision: Precision = FULL) -> torch.nn.Module:
    """The backbone in a .pt, .pth or .safetensors file; raises UserError unless all of it is."""
    network = at_random("cpu")
    state = backbone_in(read_tensors(path), network.state_dict(), str(path))
    network.load_state_dict(state, strict=False)  # the counts of batches seen are not needed
    return cast(torch.nn.Module, lowered(network.to(device), precision))


def at_random(device: str, precision: Precision = FULL) -> torch.nn.Module:
    """The whole architecture with seeded weights."""

    def build() -> torch.nn.Module:
        network = resnet18(weights=None)
        network.fc = torch.nn.Identity()
        return network

    return cast(torch.nn.Module, lowered(made_up(build, device), precision))


@span("network")
def features(
    network: torch.nn.Module, faces: np.ndarray, input_px: int, precision: Precision = FULL
) -> np.ndarray:
    """uint8 rgb `faces` [n, h, w, 3] to float32 [n, 512]."""
    device = next(network.parameters()).device
    x = torch.from_numpy(faces).to(device).permute(0, 3, 1, 2).float() / 255
    if x.shape[-2:] != (input_px, input_px):
        size = (input_px, input_px)
        x = F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
    mean, std = (torch.tensor(of_rgb, device=device).view(3, 1, 1) for of_rgb in (MEAN, STD))
    with inference(precision, device):
        return cast(np.ndarray, as_floats(network((x - mean) / std)))


def backbone_in(tensors: Tensors, network: Tensors, source: str) -> dict[str, torch.Tensor]:
    """The tensors of a ResNet18 backbone by torchvision's names, whatever the file calls them.

    Other tensors, a classifier's above all, are left out. Raises UserError where one is missing
    or has another shape than in `network`, where there is more than one backbone or a deeper one.
    """
    wanted = {name: t for name, t in network.items() if not name.endswith("num_batches_tracked")}
    keys = _keys(wanted, tensors, source)
    missing = [key for key in keys.values() if key not in tensors]
    if missing:
        raise UserError(
            f"{source} fills {len(wanted) - len(missing)} of the {len(wanted)} tensors of a "
            f"ResNet18 backbone, {missing[0]!r} is missing for one; give a whole one"
        )
    for name, key in keys.items():
        if tensors[key].shape != wanted[name].shape:
            raise _another(source, key, f"of shape {list(tensors[key].shape)}")
    third_block = keys["layer2.1.bn2.weight"].replace(".1.bn2.", ".2.bn2.")
    if third_block in tensors:  # all that a ResNet18 has is in a ResNet34 too
        raise _another(source, third_block, "at all")
    return {name: tensors[key].float() for name, key in keys.items()}


def _another(source: str, key: str, what: str) -> UserError:
    return UserError(
        f"{source} is another network: a ResNet18 has no {key!r} {what}; "
        "give weights of torchvision's ResNet18"
    )


def _keys(wanted: Iterable[str], tensors: Tensors, source: str) -> dict[str, str]:
    """The file's name of each wanted tensor, in the spelling and after the prefix that fit best."""
    spellings = [{name: name for name in wanted}, {name: _numbered(name) for name in wanted}]
    fits: dict[tuple[int, str], int] = {}
    for i, spelling in enumerate(spellings):
        for suffix in spelling.values():
            for key in tensors:
                if key == suffix or key.endswith("." + suffix):
                    fit = i, key.removesuffix(suffix)
                    fits[fit] = fits.get(fit, 0) + 1
    whole = [prefix for (i, prefix), count in fits.items() if count == len(spellings[i])]
    if len(whole) > 1:
        raise UserError(
            f"{source} holds {len(whole)} ResNet18 backbones, named {whole[0]!r}… and "
            f"{whole[1]!r}…; save the one that is meant to a file of its own"
        )
    i, prefix = max(fits, key=lambda fit: fits[fit], default=(0, ""))
    return {name: prefix + suffix for name, suffix in spellings[i].items()}


def _numbered(name: str) -> str:
    part, rest = name.split(".", 1)
    return f"{NUMBERED[part]}.{rest}"
