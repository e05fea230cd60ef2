"""The symmetric mutual promotion network of Zhu and Yu, section III."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from model.attention import (
    AttentionPool,
    FeedForward,
    MultiHeadAttention,
    positions,
)
from model.batch import Batch, real_steps
from model.convolution import pooled_convolution
from model.dropout import Dropout
from model.network import Network, NetworkSettings
from model.recurrent import BiLstm


class Smp(Network):
    """Intra-modal features F_m and fused features F_mn of every pair, to scores: eqs. (1)–(23).

    Where the paper leaves something open:
    - the linear map to width d is shared: its output X_m goes to the BiLSTM, whose attention
      pooled states are F_m, and, with positions added, to the SMP modules of its pairs;
    - "pooling" in eqs. (20)–(22) is the mean over real steps;
    - where one of a pair is shorter it adds zeros to the convolution, and the pair is pooled over
      the steps that either of the two has;
    - dropout follows each sublayer, and precedes the classifier.

    A clip without a modality has zeros for its F_m and for the F_mn of its pairs. Cross attention
    over an absent source gives zeros, so that nothing is undefined on the way.
    """

    class Settings(NetworkSettings):
        width: int = Field(64, ge=2, multiple_of=2)
        """d, a multiple of `heads`."""

        heads: int = Field(4, ge=1)
        """Of every attention."""

        feedforward: int = Field(128, ge=1)
        """Inner width of eq. (11)."""

        kernel: int = Field(3, ge=1)
        """Steps that the Conv1d spans; odd."""

        dropout: float = Field(0.1, ge=0, lt=1)
        """After each sublayer, and before the classifier."""

        intra: bool = True
        """Whether the F_m reach the classifier (Table V leaves them out)."""

        inter: bool = True
        """Whether the F_mn reach the classifier."""

        @model_validator(mode="after")
        def _consistent(self) -> Smp.Settings:
            if self.width % self.heads:
                raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
            if self.kernel % 2 == 0:
                raise ValueError(f"kernel {self.kernel} is even; steps would shift, make it odd")
            if not (self.intra or self.inter):
                raise ValueError("intra and inter are both off; nothing is left to classify")
            return self

    settings: Settings

    def __init__(self, widths: Mapping[str, int], outputs: int, settings: Settings) -> None:
        super().__init__(widths, outputs, settings)
        d, names = settings.width, list(self.widths)
        self.pairs = list(combinations(names, 2)) if settings.inter else []
        # A single modality has no pair: its F_m is all there is.
        self.branches = names if settings.intra or not self.pairs else []
        self.maps = nn.ModuleDict({m: nn.Linear(width, d) for m, width in self.widths.items()})
        self.contexts = nn.ModuleDict({m: BiLstm(d, d // 2) for m in self.branches})
        self.pools = nn.ModuleDict({m: AttentionPool(d) for m in self.branches})
        self.fusions = nn.ModuleDict({f"{m}_{n}": SmpFusion(settings) for m, n in self.pairs})
        self.dropout = Dropout(settings.dropout)
        self.classifier = nn.Linear(d * (len(self.branches) + len(self.pairs)), outputs)

    def forward(self, batch: Batch) -> Tensor:
        """Standardised features, padding zeroed, to [n, outputs]: a score, or a logit a class.

        The softmax of eq. (23) is left to the loss and to `Predictor.predict`.
        """
        x = {m: layer(batch.features[m]) for m, layer in self.maps.items()}  # X_m [n, steps, d]
        masks = {m: real_steps(batch.lengths[m], x[m].shape[1]) for m in x}
        parts = [self._intra(m, x[m], batch.lengths[m], masks[m]) for m in self.branches]
        if self.pairs:
            # (1)–(2): X_m + PE
            placed = {m: x[m] + positions(*x[m].shape[1:], x[m].device) for m in x}
            parts += [self._fused(m, n, placed, masks) for m, n in self.pairs]
        y: Tensor = self.classifier(self.dropout(torch.cat(parts, dim=-1)))  # (23)
        return y

    def _intra(self, m: str, x: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        """F_m [n, d]: BiLSTM states, pooled by attention."""
        pooled: Tensor = self.pools[m](self.contexts[m](x, lengths), mask)
        return pooled

    def _fused(
        self, m: str, n: str, x: Mapping[str, Tensor], masks: Mapping[str, Tensor]
    ) -> Tensor:
        """F_mn [n, d], (20)–(22): the pair pooled over time; zeros where a clip lacks m or n."""
        fused: Tensor = self.fusions[f"{m}_{n}"](x[m], x[n], masks[m], masks[n])
        return fused


class SmpFusion(nn.Module):
    """Two symmetric branches and a convolution over both: eqs. (17)–(19)."""

    def __init__(self, settings: Smp.Settings) -> None:
        super().__init__()
        d, kernel = settings.width, settings.kernel
        self.left = SmpBranch(settings)
        self.right = SmpBranch(settings)
        self.convolution = nn.Conv1d(2 * d, d, kernel, padding=kernel // 2)

    def forward(self, a: Tensor, b: Tensor, mask_a: Tensor, mask_b: Tensor) -> Tensor:
        """a, b [n, steps, d] and their real steps [n, steps] to F_mn [n, d]."""
        both = self.left(a, b, mask_a, mask_b), self.right(b, a, mask_b, mask_a)  # (18)–(19)
        any_real = (mask_a | mask_b) & mask_a[:, :1] & mask_b[:, :1]
        return pooled_convolution(both, (mask_a, mask_b), self.convolution, any_real)  # (20)–(22)


class SmpBranch(nn.Module):
    """LSMP of eqs. (3)–(7), and with target and source exchanged RSMP of (12)–(16)."""

    def __init__(self, settings: Smp.Settings) -> None:
        super().__init__()
        d, heads = settings.width, settings.heads
        self.cross = MultiHeadAttention(d, heads)
        self.within = MultiHeadAttention(d, heads)
        self.feedforward = FeedForward(d, settings.feedforward)
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(3))  # (10)
        self.dropout = Dropout(settings.dropout)

    def forward(self, target: Tensor, source: Tensor, mask: Tensor, source_mask: Tensor) -> Tensor:
        """target, source [n, steps, d] and their real steps to [n, steps, d]."""
        x = target
        x = self.norms[0](self.dropout(self.cross(x, source, source_mask)) + x)  # (3), (12)
        x = self.norms[1](self.dropout(self.within(x, x, mask)) + x)  # (4)–(5), (13)–(14)
        y: Tensor = self.norms[2](self.dropout(self.feedforward(x)) + x)  # (6)–(7), (15)–(16)
        return y
