"""What a clip may lack: whole modalities or single steps, taken away at random."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from model.data.batch import Batch

ANY, STEPS = "any modality", "steps"
SEED = 20


@dataclass(frozen=True)
class Missing:
    """what: a modality, ANY or STEPS. share: how much of it is gone, as a probability.

    A modality: each clip loses it. ANY: each clip loses each modality by itself. No clip loses the
    last that it has. STEPS: each step of each modality loses its features by itself, and has the
    mean in their place once they are standardised (random missing of TFR-Net, Yuan et al. 2021,
    section 4.3). What is gone at one share is gone at every larger one.
    """

    what: str
    share: float

    def __str__(self) -> str:
        return f"{self.what} {self.share:g}"

    def of(self, batch: Batch) -> Batch:
        """`batch` without it; the same clips lose the same each time."""
        return self._steps(batch) if self.what == STEPS else self._modalities(batch)

    def _chances(self, modality: str, shape: tuple[int, ...]) -> Tensor:
        """Numbers from 0 to 1, of which those below `share` are gone."""
        chances = np.random.default_rng([SEED, crc32(f"{self.what} {modality}".encode())])
        return torch.from_numpy(chances.random(shape))

    def _modalities(self, batch: Batch) -> Batch:
        has = torch.stack([n > 0 for n in batch.lengths.values()])
        drawn = torch.stack([self._chances(m, (len(batch),)) for m in batch.lengths])
        chosen = torch.tensor([self.what in (ANY, m) for m in batch.lengths])[:, None]
        lost = chosen & (drawn < self.share)
        last = (drawn.masked_fill(~has, -1).argmax(0)) == torch.arange(len(has))[:, None]
        lost &= ~(last & ~(has & ~lost).any(0))
        pairs = zip(batch.lengths.items(), lost, strict=True)
        lengths = {m: n.masked_fill(gone, 0) for (m, n), gone in pairs}
        return Batch(batch.features, lengths)

    def _steps(self, batch: Batch) -> Batch:
        features = {
            m: x.masked_fill((self._chances(m, x.shape[:2]) < self.share)[..., None], float("nan"))
            for m, x in batch.features.items()
        }
        return Batch(features, batch.lengths)
