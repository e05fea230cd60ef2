"""Everything that determines a training's numbers, as readable JSON."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from model.data.batch import Batch
from model.data.samples import Samples
from model.registry import find
from model.training.settings import TrainSettings
from pipeline.io import source_code
from pipeline.system.device import require

NO_NUMBERS = ("model.registry", "model.data.samples")


def identity(
    samples: Samples, samples_digest: str, settings: TrainSettings, seed: int
) -> dict[str, Any]:
    """What a record of this training has to be of, to be used again; any difference counts."""
    stages = samples.provenance.get("stages", {})
    libraries = ("numpy", "torch", *(("transformers",) if settings.finetune else ()))
    return {
        "dataset": samples.name,
        "samples": samples_digest,
        "features": {stage: found["fingerprint"] for stage, found in stages.items()},
        "channels": {m: list(stages) for m, stages in samples.channels.items()},
        "target": samples.target,
        "targets": [target.to_json() for target in samples.targets],
        "settings": settings.model_dump(exclude={"device", "seed"}),
        "seed": seed,
        "device": _device_name(settings.device),
        "code": code_digest(settings.model),
        "libraries": {name: version(name) for name in libraries},
    }


def digest_of(samples: Samples) -> str:
    """SHA-256 of what models are given: ids, splits, labels, lengths and features, to the bit."""
    digest = hashlib.sha256(repr([samples.ids, samples.splits.tolist()]).encode())
    digest.update(np.ascontiguousarray(samples.labels).data)
    return digest_of_batch(samples.batch, digest)


def digest_of_batch(batch: Batch, before: hashlib._Hash | None = None) -> str:
    """SHA-256 of a batch's lengths and features, to the bit, after what is digested already."""
    digest = before or hashlib.sha256()
    for m in batch.widths:
        for tensor in (batch.lengths[m], batch.features[m]):
            digest.update(f"{m} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()


@lru_cache
def code_digest(model: str) -> str:
    """SHA-256 of the code that a training of `model` runs: its layers, the loop, the metrics.

    How features are loaded is left out, since they are digested themselves; so are other models.
    """
    own = find(model).__module__
    counted = ("model.", "pipeline.stage.steps", f"{own.partition('.')[0]}.")

    def counts(module: str) -> bool:
        return module.startswith(counted) and module not in NO_NUMBERS

    return source_code.code_digest(source_code.modules_of(("model.training.loop", own), counts))


def _device_name(setting: str) -> str:
    device = torch.device(require(setting))
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
