"""A transformer a modality, what they found side by side: no idea of its own."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from model.data.batch import Batch, real_steps
from model.layers.attention import AttentionSettings, mean_pool, positions
from model.layers.prenorm import PreNormLayer
from model.network import Network
from model.step.dropout import Dropout


class LateTransformer(Network):
    """What any model with an idea about fusion should be better than.

        Z⁰  = x_m W_m + b_m + PE                           [n, steps, width]
        Zⁱ  = PreNorm_i(Zⁱ⁻¹), i = 1 … layers               self-attention and feed-forward net
        h_m = mean over the real steps of LN(Z)
        y   = W [h_v ⊕ h_a ⊕ h_t] + b

    PreNorm as in `model.layers.prenorm`. Of a modality that a clip lacks h_m is zero.
    """

    class Settings(AttentionSettings):
        width: int = Field(64, ge=1)
        """Width of each transformer; a multiple of `heads`."""

        heads: int = Field(4, ge=1)
        """Number of attention heads."""

        layers: int = Field(2, ge=1, le=100)
        """Number of layers."""

        feedforward: int = Field(128, ge=1)
        """Inner width of the feed-forward nets."""

        dropout: float = Field(0.3, ge=0, lt=1)
        """Dropout after each sublayer and on h."""

    settings: Settings

    def __init__(self, widths: Mapping[str, int], outputs: int, settings: Settings) -> None:
        super().__init__(widths, outputs, settings)
        encoders = {m: Encoder(width, settings) for m, width in self.widths.items()}
        self.encoders = nn.ModuleDict(encoders)
        self.dropout = Dropout(settings.dropout)
        self.classifier = nn.Linear(settings.width * len(encoders), outputs)

    @property
    def vectors(self) -> Mapping[str, int]:
        """h of each modality."""
        return dict.fromkeys(self.widths, self.settings.width)

    def forward(self, batch: Batch) -> Tensor:
        """Standardised features to [n, outputs]: a score, or a logit a class."""
        h = {m: net(batch.features[m], batch.lengths[m]) for m, net in self.encoders.items()}
        y = self.classifier(self.dropout(torch.cat([*h.values()], dim=-1)))
        return self.beside(y, h)


class Encoder(nn.Module):
    """h of one modality."""

    def __init__(self, width: int, settings: LateTransformer.Settings) -> None:
        super().__init__()
        s = settings
        self.map = nn.Linear(width, s.width)
        self.layers = nn.ModuleList(
            PreNormLayer(s.width, s.heads, s.feedforward, s.dropout) for _ in range(s.layers)
        )
        self.norm = nn.LayerNorm(s.width, bias=False)  # the classifier has one

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x [n, steps, width of the features], lengths [n] to [n, width]."""
        mask = real_steps(lengths, x.shape[1])
        z = self.map(x)
        z = z + positions(*z.shape[1:], z.device)
        for layer in self.layers:
            z = layer(z, None, mask)
        return mean_pool(self.norm(z), mask)
