"""Everything that determines a training's numbers, as readable JSON."""

from __future__ import annotations

import hashlib
import inspect
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.network import find
from model.samples import Samples
from model.train import TrainSettings
from pipeline.device import require

PACKAGE = Path(__file__).parent.parent
# Folders whose sources change no training; the model's own file does count.
NO_NUMBERS = ("baselines", "commands", "experiments", "report")


def identity(
    samples: Samples, samples_digest: str, settings: TrainSettings, seed: int
) -> dict[str, Any]:
    """What a record of this training has to be of, to be used again; any difference counts."""
    stages = samples.provenance.get("stages", {})
    return {
        "dataset": samples.name,
        "samples": samples_digest,
        "features": {stage: found["fingerprint"] for stage, found in stages.items()},
        "channels": {m: list(stages) for m, stages in samples.channels.items()},
        "target": samples.target,
        "scale": samples.scale.name,
        "settings": settings.model_dump(exclude={"device", "seed"}),
        "seed": seed,
        "device": _device_name(settings.device),
        "code": code_digest(settings.model),
        "libraries": {name: version(name) for name in ("numpy", "torch")},
    }


def digest_of(samples: Samples) -> str:
    """SHA-256 of what models are given: ids, splits, labels, lengths and features, to the bit."""
    digest = hashlib.sha256(repr([samples.ids, samples.splits.tolist()]).encode())
    digest.update(np.ascontiguousarray(samples.labels).data)
    for m in samples.batch.widths:
        for tensor in (samples.batch.lengths[m], samples.batch.features[m]):
            digest.update(f"{m} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()


@lru_cache
def code_digest(model: str) -> str:
    """SHA-256 of the sources that a training of `model` may run: other models are left out."""
    files = [p for p in PACKAGE.rglob("*.py") if p.relative_to(PACKAGE).parts[0] not in NO_NUMBERS]
    digest = hashlib.sha256()
    for file in sorted({*files, Path(inspect.getfile(find(model)))}):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _device_name(setting: str) -> str:
    device = torch.device(require(setting))
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
