"""Modality-Invariant and -Specific Representations (MISA)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from model.data.batch import Batch, real_steps
from model.layers.attention import AttentionSettings, FeedForward, MultiHeadAttention, mean_pool
from model.layers.moments import central_moment_discrepancy, difference, mean_of
from model.layers.recurrent import BiLstm, last_states
from model.network import Criterion, Network
from model.step.dropout import Dropout


class Parts(NamedTuple):
    """What MISA finds on the way: of each modality [n, d]; given: whether a clip has it, [n, 1]."""

    utterance: Mapping[str, Tensor]
    private: Mapping[str, Tensor]
    shared: Mapping[str, Tensor]
    given: Mapping[str, Tensor]


class Misa(Network):
    """Each modality in a space of its own and in one shared by all, both to scores.

    Source: Hazarika et al. 2020, "MISA: Modality-Invariant and -Specific Representations for
    Multimodal Sentiment Analysis", section 3.

        u_m   = LN(ReLU(W s_m + b))     s_m: text's mean; of the others the last states of two
                                        bidirectional LSTMs, side by side, with LN in between
        h_m^p = σ(W_m u_m + b_m),  h_m^c = σ(W u_m + b)        private; shared by the modalities
        M     = [h^p of each, h^c of each]                      rows of a matrix, [n, 2 · 3, d]
        M̄     = LN(A + FF(A)),  A = LN(M + attention(M, M))
        y     = W₂ ReLU(W₁ M̄ + b₁) + b₂                         the rows side by side
        loss  = error + α L_sim + β L_diff + γ L_recon
            L_sim   = mean over pairs of CMD₅(h_m^c, h_n^c)
            L_diff  = Σ_m ⟨h_m^c, h_m^p⟩ + Σ over pairs ⟨h_m^p, h_n^p⟩, ⟨X, Y⟩ = mean of (XᵀY)²,
                      rows centred over the batch and of length 1
            L_recon = mean over modalities of mean (u_m − D(h_m^c + h_m^p))²,  D linear

    A row of M that a clip lacks is zero and not attended to, and has no part in the loss.

    Departures: LSTMs have a width of their own, where the paper's are as wide as the features. D is
    one for all, as the paper has it; the authors' program has three. L_diff is the mean of the
    squares, as in that program, for which the weights were chosen; the paper has their sum.
    1,177,217 parameters with MMSA's features and preset for CMU-MOSI, in MMSA 1,138,033.
    """

    class Settings(AttentionSettings):
        width: int = Field(128, ge=1)
        """Width d of all representations; a multiple of `heads`."""

        recurrent: int = Field(32, ge=1)
        """Width of an LSTM in one direction."""

        heads: int = Field(2, ge=1)
        """Number of attention heads."""

        feedforward: int = Field(2048, ge=1)
        """Inner width of the feed-forward net after the attention."""

        dropout: float = Field(0.2, ge=0, lt=1)
        """Dropout before the last layer."""

        attention_dropout: float = Field(0.1, ge=0, lt=1)
        """Dropout after the attention and the feed-forward net."""

        similarity: float = Field(0.3, ge=0)
        """Weight α of the distance between shared representations."""

        difference: float = Field(0.1, ge=0)
        """Weight β of the overlap of private and shared representations."""

        reconstruction: float = Field(1.0, ge=0)
        """Weight γ of the error of reconstruction."""

    settings: Settings

    def __init__(self, widths: Mapping[str, int], outputs: int, settings: Settings) -> None:
        super().__init__(widths, outputs, settings)
        s, d = settings, settings.width
        self.utterances = nn.ModuleDict(
            {
                m: MeanUtterance(width, d) if m == "text" else Utterance(width, s.recurrent, d)
                for m, width in self.widths.items()
            }
        )
        self.private = nn.ModuleDict({m: nn.Linear(d, d) for m in self.widths})
        self.shared = nn.Linear(d, d)
        self.decoder = nn.Linear(d, d)
        self.attention = MultiHeadAttention(d, s.heads)
        self.feedforward = FeedForward(d, s.feedforward, dropout=s.attention_dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(2))
        self.dropout = Dropout(s.attention_dropout)
        rows = 2 * len(self.widths)
        self.classifier = FeedForward(rows * d, rows * d // 2, outputs, s.dropout)

    @property
    def vectors(self) -> Mapping[str, int]:
        """u of each modality."""
        return dict.fromkeys(self.widths, self.settings.width)

    def forward(self, batch: Batch) -> Tensor:
        """Standardised features to [n, outputs]: a score, or a logit a class."""
        return self._fused(self._parts(batch))

    def loss(self, batch: Batch, targets: Tensor, criterion: Criterion, rows: Tensor) -> Tensor:
        """The error and what keeps the spaces apart and together."""
        s, parts = self.settings, self._parts(batch)
        loss = criterion(self._fused(parts), targets)
        loss = loss + (s.difference * self._differences(parts)).sum()
        loss = loss + (s.reconstruction * self._errors(parts)).mean()
        if len(self.widths) > 1:
            loss = loss + (s.similarity * self._distances(parts)).mean()
        return loss

    def _parts(self, batch: Batch) -> Parts:
        u = {m: net(batch.features[m], batch.lengths[m]) for m, net in self.utterances.items()}
        private = {m: self.private[m](x).sigmoid() for m, x in u.items()}
        shared = {m: self.shared(x).sigmoid() for m, x in u.items()}
        given = {m: (batch.lengths[m] > 0)[:, None] for m in u}
        return Parts(u, private, shared, given)

    def _fused(self, parts: Parts) -> Tensor:
        given = torch.cat([*parts.given.values()] * 2, dim=1)  # [n, rows]
        rows = torch.stack([*parts.private.values(), *parts.shared.values()], dim=1)
        rows = rows.where(given[..., None], 0.0)
        attended = self.dropout(self.attention(rows, rows, given))
        rows = self.norms[0](rows + attended)
        rows = self.norms[1](rows + self.dropout(self.feedforward(rows)))
        y: Tensor = self.classifier(rows.where(given[..., None], 0.0).flatten(1))
        return self.beside(y, parts.utterance)

    def _distances(self, parts: Parts) -> Tensor:
        shared, given = parts.shared, parts.given
        pairs = [
            central_moment_discrepancy(shared[m], shared[n], given[m], given[n])
            for m, n in combinations(shared, 2)
        ]
        return torch.stack(pairs)

    def _differences(self, parts: Parts) -> Tensor:
        private, given = parts.private, parts.given
        own = [difference(parts.shared[m], x, given[m], given[m]) for m, x in private.items()]
        pairs = combinations(private, 2)
        across = [difference(private[m], private[n], given[m], given[n]) for m, n in pairs]
        return torch.stack(own + across)

    def _errors(self, parts: Parts) -> Tensor:
        errors = []
        for m, u in parts.utterance.items():
            found = self.decoder(parts.shared[m] + parts.private[m])
            errors.append(mean_of(F.mse_loss(found, u, reduction="none"), parts.given[m]).mean())
        return torch.stack(errors)


class MeanUtterance(nn.Module):
    """u of the mean over the real steps."""

    def __init__(self, width: int, d: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, d)
        self.norm = nn.LayerNorm(d)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x [n, steps, width], lengths [n] to [n, d]."""
        u: Tensor = self.norm(self.layer(mean_pool(x, real_steps(lengths, x.shape[1]))).relu())
        return u


class Utterance(nn.Module):
    """u of what two bidirectional LSTMs, one on the other, have read in the end."""

    def __init__(self, width: int, hidden: int, d: int) -> None:
        super().__init__()
        self.first = BiLstm(width, hidden)
        self.between = nn.LayerNorm(2 * hidden)
        self.second = BiLstm(2 * hidden, hidden)
        self.layer = nn.Linear(4 * hidden, d)
        self.norm = nn.LayerNorm(d)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x [n, steps, width], lengths [n] to [n, d]."""
        first = self.first(x, lengths)
        second = self.second(self.between(first), lengths)
        states = [last_states(states, lengths) for states in (first, second)]
        u: Tensor = self.norm(self.layer(torch.cat(states, dim=-1)).relu())
        return u
