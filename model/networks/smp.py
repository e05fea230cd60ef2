"""The symmetric mutual promotion network of Zhu and Yu, section III."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from model.data.batch import Batch, real_steps
from model.layers.attention import (
    AttentionPool,
    AttentionSettings,
    FeedForward,
    MultiHeadAttention,
    positions,
)
from model.layers.convolution import pooled_convolution
from model.layers.recurrent import BiLstm
from model.network import Network
from model.step.branches import side_by_side
from model.step.dropout import Dropout
from model.step.together import Branch


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

    class Settings(AttentionSettings):
        width: int = Field(64, ge=2, multiple_of=2)
        """Width d of all features; a multiple of `heads`."""

        heads: int = Field(4, ge=1)
        """Number of attention heads."""

        feedforward: int = Field(128, ge=1)
        """Inner width of the feed-forward layers (eq. 11)."""

        kernel: int = Field(3, ge=1)
        """Kernel size of the convolution; odd."""

        dropout: float = Field(0.1, ge=0, lt=1)
        """Dropout after each sublayer and before the classifier."""

        intra: bool = True
        """Use the intra-modal features F_m (Table V leaves them out)."""

        inter: bool = True
        """Use the fused features F_mn of pairs."""

        @model_validator(mode="after")
        def _consistent(self) -> Smp.Settings:
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
        intra = names if settings.intra or not self.pairs else []
        self.maps = nn.ModuleDict({m: nn.Linear(width, d) for m, width in self.widths.items()})
        self.intra = nn.ModuleDict({m: IntraModal(d) for m in intra})
        self.fusions = nn.ModuleDict({f"{m}_{n}": SmpFusion(settings) for m, n in self.pairs})
        self.dropout = Dropout(settings.dropout)
        self.classifier = nn.Linear(d * (len(intra) + len(self.pairs)), outputs)

    def forward(self, batch: Batch) -> Tensor:
        """Standardised features, padding zeroed, to [n, outputs]: a score, or a logit a class.

        The softmax of eq. (23) is left to the loss and to `Predictor.predict`.
        """
        steps = next(iter(batch.features.values())).shape[1]
        masks = {m: real_steps(batch.lengths[m], steps) for m in self.maps}
        widest = sorted(self.maps, key=lambda m: -self.widths[m])
        small = steps == 1
        mapped = side_by_side([(self.maps[m], (batch.features[m],)) for m in widest], small)
        x = dict(zip(widest, mapped, strict=True))  # X_m [n, steps, d]
        branches = [*self._promotions(x, masks), *self._intra(x, masks, batch)]
        found = side_by_side(branches, small)
        count = 2 * len(self.pairs)
        fused = [
            self.fusions[f"{m}_{n}"](left, right, masks[m], masks[n])
            for (m, n), left, right in zip(
                self.pairs, found[:count:2], found[1:count:2], strict=True
            )
        ]
        features = torch.cat([*found[count:], *fused], dim=-1)  # F_m, F_mn
        y: Tensor = self.classifier(self.dropout(features))  # (23)
        return y

    def _promotions(self, x: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> list[Branch]:
        """Of every pair the left and the right branch."""
        if not self.pairs:
            return []
        # (1)–(2): X_m + PE
        placed = {m: x[m] + positions(*x[m].shape[1:], x[m].device) for m in x}
        branches: list[Branch] = []
        for m, n in self.pairs:
            fusion = self.fusions[f"{m}_{n}"]
            assert isinstance(fusion, SmpFusion)
            left = placed[m], placed[n], masks[m], masks[n]  # (18)
            right = placed[n], placed[m], masks[n], masks[m]  # (19)
            branches += [(fusion.left, left), (fusion.right, right)]
        return branches

    def _intra(
        self, x: Mapping[str, Tensor], masks: Mapping[str, Tensor], batch: Batch
    ) -> list[Branch]:
        return [(module, (x[m], batch.lengths[m], masks[m])) for m, module in self.intra.items()]


class IntraModal(nn.Module):
    """F_m: BiLSTM states, pooled by attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.context = BiLstm(width, width // 2)
        self.pool = AttentionPool(width)

    def forward(self, x: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        """x [n, steps, width], its lengths [n] and real steps [n, steps] to [n, width]."""
        pooled: Tensor = self.pool(self.context(x, lengths), mask)
        return pooled


class SmpFusion(nn.Module):
    """Two symmetric branches and a convolution over both: eqs. (17)–(19)."""

    def __init__(self, settings: Smp.Settings) -> None:
        super().__init__()
        d, kernel = settings.width, settings.kernel
        self.left = SmpBranch(settings)
        self.right = SmpBranch(settings)
        self.convolution = nn.Conv1d(2 * d, d, kernel, padding=kernel // 2)

    def forward(self, left: Tensor, right: Tensor, mask_m: Tensor, mask_n: Tensor) -> Tensor:
        """What the branches gave, [n, steps, d] each, to F_mn [n, d], eqs. (20)–(22).

        Masks: the real steps [n, steps] of their targets. Zeros where a clip lacks either.
        """
        any_real = (mask_m | mask_n) & mask_m[:, :1] & mask_n[:, :1]
        return pooled_convolution((left, right), (mask_m, mask_n), self.convolution, any_real)


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
