"""Standardisation of features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from model.data.batch import Batch, real_steps
from model.step.threads import spread
from pipeline.stage.about import MODALITIES

PIECE = 8  # clips at a time
LIMIT = 10.0  # standard deviations beyond which a standardised feature is cut off


class Scaler(nn.Module):
    """Standardisation by the real steps of the training clips; kept with the weights."""

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.modalities = [m for m in MODALITIES if widths.get(m)]
        for m in self.modalities:
            self.register_buffer(f"{m}_mean", torch.zeros(widths[m]))
            self.register_buffer(f"{m}_std", torch.ones(widths[m]))

    @torch.no_grad()
    def fit(self, batch: Batch) -> Scaler:
        """Take mean and standard deviation from `batch`; a constant feature is only centred."""
        for m in self.modalities:
            mean, std = _moments(batch.features[m], batch.lengths[m])
            self.get_buffer(f"{m}_mean").copy_(mean)
            self.get_buffer(f"{m}_std").copy_(std)
        return self

    def forward(self, batch: Batch) -> Batch:
        """`batch` standardised, with zeros at padding and, the mean, at what a clip lacks.

        Steps that are padding in every clip are left out, of which a model would make nothing.
        """
        steps = max(1, *(int(n.max()) for n in batch.lengths.values()))
        return replace(batch, features={m: self._scaled(m, batch, steps) for m in self.modalities})

    def _scaled(self, m: str, batch: Batch, steps: int) -> Tensor:
        x, lengths = batch.features[m][:, :steps], batch.lengths[m]
        scaled = torch.empty_like(x)

        def scale(piece: slice) -> None:
            scaled[piece] = self.standardised(m, x[piece], lengths[piece])

        spread(scale, _pieces(x))
        return scaled

    def standardised(self, m: str, x: Tensor, lengths: Tensor) -> Tensor:
        """One modality, [n, steps, width], as `forward` gives it."""
        mean, std = self.get_buffer(f"{m}_mean"), self.get_buffer(f"{m}_std")
        values = (x - mean).div_(std).clamp_(-LIMIT, LIMIT).nan_to_num_(0.0)
        return values.where(real_steps(lengths, x.shape[1])[..., None], 0.0)


def _moments(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and std [width] over real steps, NaNs left out; summed in double, piece by piece."""
    real = real_steps(lengths, x.shape[1])

    def sums(piece: slice) -> tuple[Tensor, Tensor]:
        rows = x[piece][real[piece]]
        return len(rows) - rows.isnan().sum(0), rows.nansum(0).double()

    def squares(piece: slice) -> Tensor:
        apart = x[piece][real[piece]] - mean.float()
        return apart.square_().nansum(0).double()

    counts, totals = zip(*spread(sums, _pieces(x)), strict=True)
    count = sum(counts).clamp(min=1)
    mean = sum(totals) / count
    std = (sum(spread(squares, _pieces(x))) / count).sqrt()
    is_constant = std <= 1e-6 * (1e-6 + mean.abs())
    return mean, std.masked_fill(is_constant, 1.0)


def _pieces(x: Tensor) -> list[slice]:
    """Few clips at a time: each pass over them finds them in the processor's cache."""
    return [slice(i, i + PIECE) for i in range(0, len(x), PIECE)]
