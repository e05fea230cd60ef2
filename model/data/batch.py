"""What every model takes: three padded sequences a clip and how many of their steps are real."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.step.dropout import dropout
from pipeline.stage.about import MODALITIES


@dataclass(frozen=True)
class Batch:
    """Clips by modality; a modality that no clip has is absent from both mappings.

    features: `visual`, `audio`, `text`, each float32 [n, steps, width]. Steps from the length on
    are padding and may hold anything. A NaN within it stands for a value that the clip lacks.
    lengths: int64 [n] each, the number of real steps, 0 for a clip without that modality.
    tokens: int64 [n, most], the texts as ids of the encoder that is trained with the model, -1
    beyond their ends; None where features alone are read.
    """

    features: Mapping[str, Tensor]
    lengths: Mapping[str, Tensor]
    tokens: Tensor | None = None

    def __len__(self) -> int:
        return len(next(iter(self.lengths.values())))

    @property
    def widths(self) -> dict[str, int]:
        """Width by modality, in the order of MODALITIES."""
        return {m: self.features[m].shape[-1] for m in MODALITIES if m in self.features}

    @property
    def has_any(self) -> Tensor:
        """Bool [n]: whether a clip has any of the modalities."""
        return torch.stack(list(self.lengths.values())).amax(0) > 0

    def __getitem__(self, index: Tensor | slice) -> Batch:
        """The clips at `index`, as a batch."""
        return Batch(
            {m: x[index] for m, x in self.features.items()},
            {m: n[index] for m, n in self.lengths.items()},
            None if self.tokens is None else self.tokens[index],
        )

    def where(self, are_clips: Tensor) -> Batch:
        """The clips at which `are_clips`, bool [n], is true; in place of the others empty ones."""
        return replace(self, lengths={m: n.where(are_clips, 0) for m, n in self.lengths.items()})

    def to(self, device: torch.device | str) -> Batch:
        """The same clips on `device`."""
        return Batch(
            {m: x.to(device) for m, x in self.features.items()},
            {m: n.to(device) for m, n in self.lengths.items()},
            None if self.tokens is None else self.tokens.to(device),
        )


def real_steps(lengths: Tensor, steps: int) -> Tensor:
    """Bool [n, steps]: True on the real steps of each clip."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


def drop_features(batch: Batch, share: float) -> Batch:
    """Each clip loses a random `share` of each modality's features; the others are scaled up.

    A feature is lost in all steps of a clip, else the steps around would still tell it. It costs
    a number a feature instead of one a value. Source: Gal and Ghahramani 2016.
    """
    if not share:
        return batch
    kept = {
        m: dropout(x.new_ones(len(x), 1, x.shape[-1]), share) for m, x in batch.features.items()
    }
    return replace(batch, features={m: x * kept[m] for m, x in batch.features.items()})
