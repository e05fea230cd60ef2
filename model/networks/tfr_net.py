"""The Transformer-based Feature Reconstruction Network (TFR-Net)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from model.data.batch import Batch, real_steps
from model.data.by_modality import ByModality
from model.layers.attention import AttentionSettings, FeedForward, positions
from model.layers.crossmodal import CrossmodalTransformer, StepConvolution
from model.layers.recurrent import BiGru
from model.network import Criterion, Network
from model.step.dropout import Dropout, dropout

Rate = Annotated[float, Field(ge=0, lt=1)]
GATE_KERNEL = 3


class TfrNet(Network):
    """Steps are removed in training, and the network puts them back beside giving the score.

    Source: Yuan et al. 2021, "Transformer-based Feature Reconstruction Network for Robust
    Multimodal Sentiment Analysis", section 3.

        z_m  = Conv1D(x_m, kernel_m) + PE                   [n, steps, d]
        H_m  = [T_{m→m}(z_m) ⊕ T_{n→m}(z_m, z_n) …]         transformers of MulT: m's steps attend
                                                            to themselves and to those of each n
        X_m  = BiGRU(H_m),  G_m = σ(Conv1D(X_m))            three layers; a number a step
        u_m  = max over the real steps of tanh(W_m [H_m ⊕ G_m tanh(X_m)] + b_m)
        y    = W₂ ReLU(W₁ [u_v ⊕ u_a ⊕ u_t] + b₁) + b₂
        loss = error + Σ_m λ_m L_m,  L_m = mean over removed steps of smooth L1(x̂_m, x_m)
            x̂_m = W T(H_m) + b

    In each training step a random share of the real steps of each modality is zeros; their error
    counts once. What a clip lacks is attended to by nobody, and its u_m is zero.

    Departures: T before x̂ attends over steps, where the paper's attends over features, which needs
    the same number of steps in each clip and would read padding. Steps to remove are drawn anew,
    where the authors' are the same in each epoch. L_m leaves out a distance of moments that their
    program adds; no batch normalisation lets clips mix; ReLU stands for a leaky one. 1,538,297
    parameters with MMSA's features and preset for CMU-MOSI, in MMSA 14,850,620 beside BERT: its T
    is as wide as a clip has steps, up to 500.
    """

    class Settings(AttentionSettings):
        width: int = Field(30, ge=1)
        """Width d of a transformer; a multiple of `heads`."""

        heads: int = Field(6, ge=1)
        """Number of attention heads."""

        levels: int = Field(3, ge=1, le=100)
        """Number of layers of the crossmodal transformers."""

        memory_levels: int = Field(3, ge=1, le=100)
        """Number of layers of the self-attention transformers."""

        kernel: ByModality[PositiveInt] = ByModality[PositiveInt](visual=3, audio=5, text=1)
        """Kernel size of each modality's convolution."""

        gate: ByModality[PositiveInt] = ByModality[PositiveInt](visual=48, audio=20, text=36)
        """Width of each u_m, and of a GRU in one direction."""

        gate_layers: int = Field(3, ge=1, le=100)
        """Number of layers of GRUs."""

        fusion: int = Field(128, ge=1)
        """Width of the layer before the score."""

        text_dropout: Rate = 0.2
        """Dropout on the text features."""

        embedding_dropout: Rate = 0.2
        """Dropout on the input of the transformers."""

        attention_dropout: ByModality[Rate] = ByModality[Rate](visual=0.0, audio=0.1, text=0.2)
        """Dropout on the attention weights over that modality's steps."""

        residual_dropout: Rate = 0.2
        """Dropout after each sublayer."""

        gate_dropout: Rate = 0.2
        """Dropout on u_m."""

        output_dropout: Rate = 0.0
        """Dropout before the last layer."""

        missing: Rate = 0.2
        """Share of the steps that are removed in training."""

        reconstruction: ByModality[NonNegativeFloat] = ByModality[NonNegativeFloat](
            visual=20.0, audio=2.0, text=5.0
        )
        """Weight λ of the error at removed steps."""

    settings: Settings

    def __init__(self, widths: Mapping[str, int], outputs: int, settings: Settings) -> None:
        super().__init__(widths, outputs, settings)
        s, names = settings, list(self.widths)
        self.convolutions = nn.ModuleDict(
            {
                m: StepConvolution(width, s.width, s.kernel[m], padding="same", bias=False)
                for m, width in self.widths.items()
            }
        )
        self.transformers = nn.ModuleDict(
            {f"{n}_to_{m}": self._transformer(s.width, n, m) for m in names for n in names}
        )
        width = s.width * len(names)  # of H
        self.restorers = nn.ModuleDict({m: self._transformer(width, m, m) for m in names})
        self.restored = nn.ModuleDict({m: nn.Linear(width, w) for m, w in self.widths.items()})
        self.gates = nn.ModuleDict(
            {m: GateEncoder(width, s.gate[m], s.gate_layers, s.gate_dropout) for m in names}
        )
        self.text_dropout = Dropout(s.text_dropout)
        self.embedding_dropout = Dropout(s.embedding_dropout)
        found = sum(s.gate[m] for m in names)
        self.classifier = FeedForward(found, s.fusion, outputs, s.output_dropout)

    def _transformer(self, width: int, source: str, target: str) -> CrossmodalTransformer:
        s = self.settings
        levels = s.memory_levels if source == target else s.levels
        dropouts = s.attention_dropout[source], s.residual_dropout
        return CrossmodalTransformer(width, s.heads, levels, *dropouts)

    def forward(self, batch: Batch) -> Tensor:
        """Standardised features to [n, outputs]: a score, or a logit a class."""
        return self._score(self._mixed(batch), batch)

    def loss(self, batch: Batch, targets: Tensor, criterion: Criterion, rows: Tensor) -> Tensor:
        """The error without the removed steps, and that of what stands in their place."""
        removed = {m: self._removed(batch, m) for m in self.widths}
        features = {m: batch.features[m].masked_fill(removed[m], 0.0) for m in removed}
        mixed = self._mixed(Batch(features, batch.lengths))
        loss = criterion(self._score(mixed, batch), targets)
        for m, where in removed.items():
            h = self.restorers[m](mixed[m], None, self._real(batch, m))
            apart = F.smooth_l1_loss(self.restored[m](h), batch.features[m], reduction="none")
            error = (apart * where).sum((0, 1)) / where.sum((0, 1)).clamp(min=1)
            loss = loss + (self.settings.reconstruction[m] * error).mean()
        return loss

    def _real(self, batch: Batch, m: str) -> Tensor:
        return real_steps(batch.lengths[m], batch.features[m].shape[1])

    def _removed(self, batch: Batch, m: str) -> Tensor:
        """Bool [n, steps, 1]: a random share of the real steps."""
        real = self._real(batch, m)
        ones = batch.features[m].new_ones(real.shape)
        return (real & (dropout(ones, self.settings.missing) == 0))[..., None]

    def _mixed(self, batch: Batch) -> dict[str, Tensor]:
        """H of each modality, [n, steps, modalities · d]."""
        masks = {m: self._real(batch, m) for m in self.widths}
        z = {}
        for m, convolution in self.convolutions.items():
            x = batch.features[m]
            read = convolution(self.text_dropout(x) if m == "text" else x, masks[m])
            z[m] = self.embedding_dropout(read + positions(*read.shape[1:], read.device))
        return {m: torch.cat([self._told(m, n, z, masks[n]) for n in z], dim=-1) for m in z}

    def _told(self, m: str, n: str, z: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        """T_{n→m}."""
        told: Tensor = self.transformers[f"{n}_to_{m}"](z[m], None if n == m else z[n], mask)
        return told

    def _score(self, mixed: Mapping[str, Tensor], batch: Batch) -> Tensor:
        u = [gate(mixed[m], batch.lengths[m]) for m, gate in self.gates.items()]
        y: Tensor = self.classifier(torch.cat(u, dim=-1))
        return y


class GateEncoder(nn.Module):
    """u of H."""

    def __init__(self, width: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        inputs = [width] + [2 * hidden] * (layers - 1)
        self.grus = nn.ModuleList(BiGru(size, hidden) for size in inputs)
        self.gate = StepConvolution(2 * hidden, 1, GATE_KERNEL, padding="same")
        self.layer = nn.Linear(width + 2 * hidden, hidden)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x [n, steps, width], lengths [n] to [n, hidden]; zeros where no step is real."""
        mask, states = real_steps(lengths, x.shape[1]), x
        for gru in self.grus:
            states = gru(states, lengths)
        gated = self.gate(states, mask).sigmoid() * states.tanh()
        u = self.layer(torch.cat([x, gated], dim=-1)).tanh()
        most = u.masked_fill(~mask[..., None], -1.0).amax(1)
        kept: Tensor = self.dropout(most.where(mask[:, :1], 0.0))
        return kept
