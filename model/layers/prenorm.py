"""The layer of today's transformers, which normalises what goes into it."""

from __future__ import annotations

from torch import Tensor, nn

from model.layers.attention import FeedForward, MultiHeadAttention
from model.step.dropout import Dropout


class PreNormLayer(nn.Module):
    """z = x + attention(LN(x), LN(source)); z + FF(LN(z)).

    Source: Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture". crossed:
    whether the source is another sequence, which then has a normalisation of its own.
    """

    def __init__(
        self, width: int, heads: int, feedforward: int, dropout: float, crossed: bool = False
    ) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.feedforward = FeedForward(width, feedforward)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3 if crossed else 2))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, source: Tensor | None, mask: Tensor) -> Tensor:
        """x, source [n, steps, width], mask [n, steps]: the real steps of the source, or of x."""
        target = self.norms[0](x)
        source = target if source is None else self.norms[2](source)
        z = x + self.dropout(self.attention(target, source, mask))
        y: Tensor = z + self.dropout(self.feedforward(self.norms[1](z)))
        return y
