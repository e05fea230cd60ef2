"""One dataset to train on and another to test on, as the samples of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model.data.batch import Batch
from model.data.samples import Samples
from pipeline.errors import UserError


def crossed(own: Samples, other: Samples) -> Samples:
    """`train` and `valid` of `own` with the `test` split of `other`.

    Raises UserError where that has no test split, or where the two are not of the same features and
    scores: other modalities, stages, settings of a stage, widths or scale.
    """
    if other.judged != "test":
        raise UserError(f"{other.name}: the test split has no labelled clip to test on")
    _require_alike(own, other)
    fitted, held_out = own.only(own.splits != "test"), other.only(other.splits == "test")
    return replace(
        own,
        name=f"{own.name}-on-{other.name}",
        ids=[*fitted.ids, *held_out.ids],
        batch=_joined(fitted.batch, held_out.batch),
        labels=np.concatenate([fitted.labels, held_out.labels]),
        splits=np.concatenate([fitted.splits, held_out.splits]),
        notes=[
            f"trained and selected on {own.name}, tested on {other.name}",
            *(f"{of.name}: {note}" for of in (own, other) for note in of.notes),
        ],
        provenance={**own.provenance, "tested_on": other.provenance},
        left_out=[c for of, here in ((own, False), (other, True)) for c in of.left_out
                  if (c.split == "test") == here],
    )  # fmt: skip


def _require_alike(own: Samples, other: Samples) -> None:
    """Raise UserError that names the first thing in which the two differ, and both values."""
    pairs = {
        "stages": (_stages(own), _stages(other)),
        "the settings or weights behind": (_fingerprints(own), _fingerprints(other)),
        "widths": (own.batch.widths, other.batch.widths),
        "targets": (_targets(own), _targets(other)),
    }
    for what, (mine, theirs) in pairs.items():
        for name in dict.fromkeys([*mine, *theirs]):
            if mine.get(name) != theirs.get(name):
                values = [f"{mine.get(name, 'none')} in {own.name}",
                          f"{theirs.get(name, 'none')} in {other.name}"]  # fmt: skip
                raise UserError(
                    f"{what} {name} differ: {' and '.join(values)}; both datasets need the same "
                    "features and scores: extract them with one stages file, or name the stages"
                )


def _stages(samples: Samples) -> dict[str, str]:
    return {m: " + ".join(samples.channels.get(m, ())) or "all" for m in samples.batch.widths}


def _targets(samples: Samples) -> dict[str, str]:
    """What the true values are of, each with its range or classes."""
    return {
        target.name: " ".join(filter(None, [target.kind, f"{target.range or target.classes}"]))
        for target in samples.targets
    }


def _fingerprints(samples: Samples) -> Mapping[str, Any]:
    """Of the stages that were extracted; imported features have none to compare."""
    if "imported_from" in samples.provenance:
        return {}
    stages = samples.provenance.get("stages", {})
    return {name: found["fingerprint"] for name, found in stages.items()}


def _joined(first: Batch, second: Batch) -> Batch:
    def padded(m: str) -> Tensor:
        steps = max(first.features[m].shape[1], second.features[m].shape[1])
        both = (first.features[m], second.features[m])
        return torch.cat([F.pad(x, (0, 0, 0, steps - x.shape[1])) for x in both])

    lengths = {m: torch.cat([first.lengths[m], second.lengths[m]]) for m in first.lengths}
    return Batch({m: padded(m) for m in first.features}, lengths)
