"""The Multimodal Transformer (MulT)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from model.data.batch import Batch, real_steps
from model.data.by_modality import ByModality
from model.layers.attention import AttentionSettings, FeedForward, positions
from model.layers.crossmodal import CrossmodalTransformer, StepConvolution
from model.layers.recurrent import last_step
from model.network import Network
from model.step.dropout import Dropout

Rate = Annotated[float, Field(ge=0, lt=1)]


class Mult(Network):
    """Each modality enriched by each other one, remembered by self-attention, to scores.

    Source: Tsai et al. 2019, "Multimodal Transformer for Unaligned Multimodal Language Sequences".

        X̂_m = Conv1D(X_m, kernel_m)                        [n, steps, d], the steps as many
        Z_m = X̂_m + PE                                      sine-cosine positions
        crossmodal transformer β → α: Z⁰ = Z_α, and for levels i = 1 … D
            Ẑⁱ = CM_mul(LN(Zⁱ⁻¹), LN(Z_β)) + LN(Zⁱ⁻¹)      queries of α; keys, values of β
            Zⁱ = FF(LN(Ẑⁱ)) + LN(Ẑⁱ)                        FF four times as wide inside
        H_α = [Z_{β→α} ⊕ Z_{γ→α}]                          [n, steps, 2 d]
        M_α = self-attention transformer over H_α + PE      the same levels with source = target
        e   = [M_v^T ⊕ M_a^T ⊕ M_t^T]                      T: each modality's last real step
        y   = W₃ (e + W₂ ReLU(W₁ e + b₁) + b₂) + b₃         residual block, output

    Without a modality its streams are left out: of two, H_α is [n, steps, d]; of one, Z_α itself.
    Where one clip lacks it, attention to it gives zeros and so does its last step.

    Departures: convolutions keep the number of steps, and read zeros at padding; attention leaves
    padding out, and is linear without a bias. The residual is the normalised LN(Z), as the paper
    has it, where the authors' program adds Z; that also scales X̂ by √d, hides later steps from
    earlier ones and normalises once more at the end, of which the paper says nothing. A layer
    normalises target and source with the same gain. Positions are there (a popular toolkit's
    version adds none), and the step that is read is the last real one, not the last of padding.
    """

    class Settings(AttentionSettings):
        width: int = Field(50, ge=1)
        """Width d of a transformer; a multiple of `heads`."""

        heads: int = Field(10, ge=1)
        """Number of attention heads."""

        levels: int = Field(4, ge=1, le=100)
        """Number of layers of the crossmodal transformers."""

        memory_levels: int = Field(4, ge=1, le=100)
        """Number of layers of the self-attention transformers."""

        kernel: ByModality[PositiveInt] = ByModality[PositiveInt](visual=5, audio=5, text=5)
        """Kernel size of each modality's convolution."""

        text_dropout: Rate = 0.5
        """Dropout on the text features."""

        embedding_dropout: Rate = 0.2
        """Dropout on the input of a transformer."""

        attention_dropout: ByModality[Rate] = ByModality[Rate](visual=0.0, audio=0.2, text=0.3)
        """Dropout on the attention weights over that modality's steps."""

        residual_dropout: Rate = 0.0
        """Dropout after each sublayer."""

        output_dropout: Rate = 0.5
        """Dropout in the residual block."""

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
        self.sources = {m: [n for n in names if n != m] for m in names}
        self.crossmodal = nn.ModuleDict(
            {
                f"{source}_to_{m}": self._transformer(s.width, s.levels, source)
                for m in names
                for source in self.sources[m]
            }
        )
        width = s.width * max(1, len(names) - 1)  # of H and of M
        self.memories = nn.ModuleDict(
            {m: self._transformer(width, s.memory_levels, m) for m in names}
        )
        self.text_dropout = Dropout(s.text_dropout)
        self.embedding_dropout = Dropout(s.embedding_dropout)
        found = width * len(names)
        self.residual = FeedForward(found, found, dropout=s.output_dropout)
        self.classifier = nn.Linear(found, outputs)

    def _transformer(self, width: int, levels: int, source: str) -> CrossmodalTransformer:
        s = self.settings
        dropouts = s.attention_dropout[source], s.residual_dropout
        return CrossmodalTransformer(width, s.heads, levels, *dropouts)

    def forward(self, batch: Batch) -> Tensor:
        """Standardised features to [n, outputs]: a score, or a logit a class."""
        masks = {m: real_steps(batch.lengths[m], batch.features[m].shape[1]) for m in self.widths}
        z = {m: self._placed(self._convolved(m, batch.features[m], masks[m])) for m in masks}
        last = [last_step(self._memory(m, z, masks), batch.lengths[m]) for m in masks]
        e = torch.cat(last, dim=-1)
        y: Tensor = self.classifier(e + self.residual(e))
        return y

    def _convolved(self, m: str, x: Tensor, mask: Tensor) -> Tensor:
        """X̂: x [n, steps, width of m] to [n, steps, d]."""
        convolved: Tensor = self.convolutions[m](self.text_dropout(x) if m == "text" else x, mask)
        return convolved

    def _placed(self, x: Tensor) -> Tensor:
        placed: Tensor = self.embedding_dropout(x + positions(*x.shape[1:], x.device))
        return placed

    def _memory(self, m: str, z: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """M: what the other modalities tell m, [n, steps, (modalities - 1) · d]."""
        h = z[m]
        if self.sources[m]:
            streams = [
                self.crossmodal[f"{source}_to_{m}"](z[m], z[source], masks[source])
                for source in self.sources[m]
            ]
            h = self._placed(torch.cat(streams, dim=-1))
        memory: Tensor = self.memories[m](h, None, masks[m])
        return memory
