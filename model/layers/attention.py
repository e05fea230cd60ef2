"""Attention that never looks at padding, and the positions and layers that go with it."""

from __future__ import annotations

from functools import lru_cache
from math import log, sqrt

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from model.network import NetworkSettings
from model.step.dropout import Dropout, dropout
from model.step.streams import is_one_step, is_stacked


class AttentionSettings(NetworkSettings):
    """What a model whose attention shares a width among heads has to be told."""

    width: int
    heads: int

    @model_validator(mode="after")
    def _shared_evenly(self) -> AttentionSettings:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


@lru_cache(maxsize=8)
def positions(steps: int, width: int, device: torch.device | None = None) -> Tensor:
    """Sine-cosine positions, float32 [steps, width]: sines at even columns, cosines at odd.

    Kept between calls, so not to be written to.

    Source: Vaswani et al. 2017, section 3.5; PE of eqs. (1)–(2) of Zhu and Yu.
    """
    step = torch.arange(steps, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-log(10_000.0) / width))
    angles = step * rate
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width].to(device)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last axis where `mask` is True; all zeros where nothing is True."""
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, lowest).softmax(dim=-1) * mask


def attended(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, p: float = 0.0) -> Tensor:
    """softmax(Q Kᵀ / √d) V by head, with dropout p on the weights.

    query [n, heads, t, d], key and value [n, heads, s, d], mask [n, s] of what may be attended to;
    zeros for a clip that has nothing of it.
    """
    shown = mask[:, None, None]
    if not is_stacked():
        return F.scaled_dot_product_attention(query, key, value, shown, dropout_p=p)
    # Torch's own can't be mapped, nor draw for each network by itself.
    scores = query @ key.transpose(-1, -2) / sqrt(query.shape[-1])
    weights = masked_softmax(scores, shown)
    return (dropout(weights, p) if p else weights) @ value


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention of a target over a source: eq. (8) where they are one, or (9).

    As in the paper Q, K, V and the output are linear maps without a bias. dropout: on the weights.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, target: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        """target [n, t, width], source [n, s, width], mask [n, s] of its real steps.

        Returns [n, t, width]: zeros for a clip whose source has no real step at all.
        """
        dropped = self.dropout if self.training else 0.0
        if is_one_step(source) and not dropped:
            only = self.value(source) * mask[..., None]  # it has all the weight
            mixed = only.expand(-1, target.shape[1], -1)
        else:
            maps = (self.query, target), (self.key, source), (self.value, source)
            q, k, v = (self._by_head(linear(x)) for linear, x in maps)
            mixed = attended(q, k, v, mask, dropped).transpose(1, 2).flatten(2)
        output: Tensor = self.output(mixed)
        return output

    def extra_repr(self) -> str:
        """What tells it from others of the same size."""
        return f"heads={self.heads}, dropout={self.dropout}"

    def _by_head(self, x: Tensor) -> Tensor:
        """[n, steps, width] to [n, heads, steps, width / heads]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """ReLU(x W₁ + b₁) W₂ + b₂: eq. (11), with dropout after the ReLU where one is given."""

    def __init__(
        self, width: int, hidden: int, outputs: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden)
        self.dropout = Dropout(dropout)
        self.outer = nn.Linear(hidden, outputs or width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] to [..., outputs], by default as wide."""
        y: Tensor = self.outer(self.dropout(self.inner(x).relu()))
        return y


class AttentionPool(nn.Module):
    """One vector a clip: its real steps, weighted by softmax(vᵀ tanh(W h + b))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [n, steps, width], mask [n, steps] to [n, width]; zeros where no step is real."""
        if is_one_step(x):
            return (x * mask[..., None]).squeeze(1)
        scores = self.score(self.inner(x).tanh()).squeeze(-1)
        return (masked_softmax(scores, mask)[:, None, :] @ x).squeeze(1)


def mean_pool(x: Tensor, mask: Tensor) -> Tensor:
    """The mean of the real steps: x [n, steps, width] to [n, width]; zeros where none is real."""
    kept = x * mask[..., None]
    return kept.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
