"""Samples of noise in the real widths, for measurements of trainings that need no cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.made_cache import SPLITS, STEPS
from model.data.batch import Batch
from model.data.samples import Samples
from model.data.truth import scored
from model.metrics import MOSI

WIDTHS = {"visual": 546, "audio": 1063, "text": 768}


def made_samples(
    lengths: Sequence[int] = range(5, STEPS + 1), modalities: Sequence[str] = tuple(WIDTHS)
) -> Samples:
    """As many clips as CMU-MOSI has. lengths: the real steps, which clips take by turns."""
    random = torch.Generator().manual_seed(0)
    splits = np.repeat(list(SPLITS), list(SPLITS.values()))
    clips = len(splits)
    steps = torch.tensor(lengths)[torch.arange(clips) % len(lengths)]
    features = {m: torch.randn(clips, STEPS, WIDTHS[m], generator=random) for m in modalities}
    scores = torch.rand(clips, generator=random, dtype=torch.float64) * 6 - 3
    batch = Batch(features, dict.fromkeys(modalities, steps))
    ids = [str(clip) for clip in range(clips)]
    return Samples("made", ids, batch, scores.numpy(), splits, scored(MOSI))
