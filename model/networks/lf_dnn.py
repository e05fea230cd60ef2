"""Late fusion by a deep network (LF-DNN)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from model.data.by_modality import ByModality
from model.layers.late_fusion import LateFusion


class LfDnn(LateFusion):
    """A vector for each modality, side by side, to scores.

    Source: Cambria et al. 2017, "Benchmarking multimodal sentiment analysis", and, with the nets
    used here, the baseline of Yu et al. 2020, "CH-SIMS".

        z_m = ReLU(W₃ ReLU(W₂ ReLU(W₁ mean_t x_m)))       visual, audio
        z_t = W LSTM(x_t) + b                              text: the state after the last real step
        y   = W₆ ReLU(W₅ ReLU(W₄ [z_v ⊕ z_a ⊕ z_t]))

    x_m [n, steps, width], z_m [n, hidden], z_t [n, text_out], y [n, outputs]; biases not shown.

    Departures: means and states are those of the real steps, where implementations at hand count
    the padding in; and the features come standardised by the training clips' statistics, in place
    of a batch normalisation that would let the clips of a batch mix.
    """

    class Settings(LateFusion.Settings):
        """As for late fusion; the defaults are those of CMU-MOSI."""

        hidden: ByModality[PositiveInt] = ByModality[PositiveInt](visual=128, audio=16, text=128)
        text_out: int = Field(256, ge=1)
        fusion: int = Field(128, ge=1)
        dropout: float = Field(0.2, ge=0, lt=1)
        fusion_dropout: float = Field(0.2, ge=0, lt=1)

    def fuse(self, embeddings: Sequence[Tensor]) -> Tensor:
        """Side by side: [n, sum of sizes]."""
        return torch.cat(list(embeddings), dim=-1)
