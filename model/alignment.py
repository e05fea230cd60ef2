"""Modalities side by side over the same time, for models that read them step by step together."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from model.batch import Batch
from model.recurrent import take_steps


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


def nearest(own: Tensor, longest: Tensor, steps: int) -> Tensor:
    """Int64 [n, steps]: the step of `own` that lies nearest to each of `longest`; halves go up.

    It is the one rule for what is shorter beside what is longer, ends on ends. A channel of 32
    sampled steps meets no halves (31 is a prime); shorter ones do, and no step of theirs is nearer
    then. Going up, in whole numbers, takes each step between the ends equally often, within one,
    and gives the same on every device, which rounding to even does not (nor float division).
    """
    step = torch.arange(steps, device=own.device)
    last, end = ((lengths - 1).clamp(min=0)[:, None] for lengths in (own, longest))
    index = (2 * step * last + end) // (2 * end).clamp(min=1)
    return torch.minimum(index, last)
