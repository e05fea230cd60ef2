"""The crossmodal transformer of MulT, and what comes before it; TFR-Net has both too."""

from __future__ import annotations

from torch import Tensor, nn

from model.layers.attention import FeedForward, MultiHeadAttention
from model.step.dropout import Dropout


class StepConvolution(nn.Conv1d):
    """A convolution over the real steps, between which and beside which it reads zeros."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """x [n, steps, width], mask [n, steps] to [n, steps, channels]."""
        return super().forward(x.where(mask[..., None], 0.0).transpose(1, 2)).transpose(1, 2)


class CrossmodalTransformer(nn.Module):
    """Levels of attention to one source, or each to the level's own input.

    Source: Tsai et al. 2019, "Multimodal Transformer for Unaligned Multimodal Language Sequences",
    section 3.2.
    """

    def __init__(
        self, width: int, heads: int, levels: int, attention_dropout: float, dropout: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            CrossmodalLayer(width, heads, attention_dropout, dropout) for _ in range(levels)
        )

    def forward(self, x: Tensor, source: Tensor | None, mask: Tensor) -> Tensor:
        """x, source [n, steps, width]; mask [n, steps]: the real steps of what is attended to."""
        for layer in self.layers:
            x = layer(x, x if source is None else source, mask)
        return x


class CrossmodalLayer(nn.Module):
    """Ẑ = attention(LN(Z), LN(source)) + LN(Z); FF(LN(Ẑ)) + LN(Ẑ)."""

    def __init__(self, width: int, heads: int, attention_dropout: float, dropout: float) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, heads, attention_dropout)
        self.feedforward = FeedForward(width, 4 * width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.dropout = Dropout(dropout)

    def forward(self, target: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        """target, source [n, steps, width] to [n, steps, width]."""
        x = self.norms[0](target)
        x = self.norms[1](self.dropout(self.attention(x, self.norms[0](source), mask)) + x)
        y: Tensor = self.dropout(self.feedforward(x)) + x
        return y
