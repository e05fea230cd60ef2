"""Outputs that are of a single modality, read from its own vector alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor, nn


class Alone(nn.Module):
    """What each modality says by itself, beside what all of them say.

        ŷ_s = W₃ ReLU(W₂ ReLU(W₁ z_s + b₁) + b₂) + b₃           z_s: the vector of modality s

    Source: Yu et al. 2020, "CH-SIMS", whose MLF-DNN, MTFN and MLMF are LF-DNN, TFN and LMF with it.
    The inner layers are as wide as z_s.

    widths: of the vectors. places: of the outputs that each modality has, among all `outputs`.
    Raises ValueError for places that are none.
    """

    def __init__(
        self, widths: Mapping[str, int], places: Mapping[str, Sequence[int]], outputs: int
    ) -> None:
        super().__init__()
        taken = [*chain.from_iterable(places.values())]
        if len({*taken}) < len(taken) or not {*taken} < {*range(outputs)}:
            raise ValueError(f"outputs {taken} of {outputs}")
        self.places = {m: tuple(own) for m, own in places.items()}
        self.nets = nn.ModuleDict({m: _net(widths[m], len(own)) for m, own in places.items()})

    def forward(self, fused: Tensor, vectors: Mapping[str, Tensor]) -> Tensor:
        """fused [n, outputs that are of all modalities], vectors [n, width] to [n, outputs]."""
        found: dict[int, Tensor] = {}
        for m, net in self.nets.items():
            found |= dict(zip(self.places[m], net(vectors[m]).unbind(1), strict=True))
        others = iter(fused.unbind(1))
        count = fused.shape[1] + len(found)
        columns = [found[p] if p in found else next(others) for p in range(count)]
        return torch.stack(columns, dim=1)


def _net(width: int, outputs: int) -> nn.Module:
    layers = [nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))
