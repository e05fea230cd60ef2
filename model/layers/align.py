"""Modalities side by side over the same time, for models that read them step by step together."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from model.data.batch import Batch
from model.data.nearest_step import nearest
from model.layers.recurrent import take_steps


def align(batch: Batch, modalities: Iterable[str]) -> tuple[dict[str, Tensor], Tensor]:
    """Stretch each clip's `modalities` to its longest one, ends on ends, by the nearest step.

    Each modality's steps span the whole clip, so that rows side by side cover the same time; it
    is how channels of one modality are brought together too. Returns features by modality
    [n, steps, width], with zeros for a modality that a clip lacks, and the lengths [n] they share.
    """
    lengths = {m: batch.lengths[m] for m in modalities}
    longest = torch.stack(list(lengths.values())).amax(0)
    aligned = {}
    for m, own in lengths.items():
        x = batch.features[m]
        stretched = take_steps(x, nearest(own, longest, x.shape[1]))
        aligned[m] = stretched.where((own > 0)[:, None, None], 0.0)
    return aligned, longest
