"""The Memory Fusion Network (MFN)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from model.data.batch import Batch
from model.data.by_modality import ByModality
from model.layers.align import align
from model.layers.attention import FeedForward
from model.layers.recurrent import CellLstm, last_step
from model.network import Network, NetworkSettings


class Mfn(Network):
    """An LSTM a modality, attention over changes of their memories, a memory of what it found.

    Source: Zadeh et al. 2018, "Memory Fusion Network for Multi-view Sequential Learning".

        h_m^t, c_m^t = LSTM_m(x_m^t)                       system of LSTMs
        c^t = [c_v^t ⊕ c_a^t ⊕ c_t^t],  C^t = [c^{t-1} ⊕ c^t]
        Ĉ^t = C^t ⊙ softmax(D_a(C^t))                      delta-memory attention
        γ₁^t = σ(D_γ1(Ĉ^t)),  γ₂^t = σ(D_γ2(Ĉ^t))          retain and update gates
        u^t = γ₁^t ⊙ u^{t-1} + γ₂^t ⊙ tanh(D_u(Ĉ^t))       multi-view gated memory
        y   = D_y([h_v^T ⊕ h_a^T ⊕ h_t^T ⊕ u^T])           T: the last real step

    h_m^t, c_m^t [n, hidden_m], C^t [n, window · Σ hidden_m], u^t [n, memory], y [n, outputs].
    Each D is W₂ ReLU(W₁ x + b₁) + b₂; c^0 and u^0 are zero. The window of 2 is a setting.

    Departures: the paper aligns the modalities to words; here a modality with fewer steps than
    another is stretched over the same time (see `align`), and one that a clip lacks is zero, the
    mean. The gates read Ĉ^t, as the paper has it; the authors' program adds u^{t-1} to that.
    """

    class Settings(NetworkSettings):
        hidden: ByModality[PositiveInt] = ByModality[PositiveInt](visual=256, audio=32, text=256)
        """Width of each modality's LSTM."""

        memory: int = Field(400, ge=1)
        """Width of the memory u."""

        window: int = Field(2, ge=1)
        """Number of steps whose memory cells are attended to together."""

        attention: int = Field(32, ge=1)
        """Inner width of the attention network D_a."""

        attention_dropout: float = Field(0.2, ge=0, lt=1)
        """Dropout in the attention network D_a."""

        proposal: int = Field(64, ge=1)
        """Inner width of the proposal network D_u."""

        proposal_dropout: float = Field(0.0, ge=0, lt=1)
        """Dropout in the proposal network D_u."""

        retain: int = Field(256, ge=1)
        """Inner width of the retain gate's network D_γ1."""

        retain_dropout: float = Field(0.7, ge=0, lt=1)
        """Dropout in the retain gate's network D_γ1."""

        update: int = Field(32, ge=1)
        """Inner width of the update gate's network D_γ2."""

        update_dropout: float = Field(0.5, ge=0, lt=1)
        """Dropout in the update gate's network D_γ2."""

        output: int = Field(128, ge=1)
        """Inner width of the output network D_y."""

        output_dropout: float = Field(0.0, ge=0, lt=1)
        """Dropout in the output network D_y."""

    settings: Settings

    def __init__(self, widths: Mapping[str, int], outputs: int, settings: Settings) -> None:
        super().__init__(widths, outputs, settings)
        s, u = settings, settings.memory
        self.lstms = nn.ModuleDict({m: CellLstm(w, s.hidden[m]) for m, w in self.widths.items()})
        cells = sum(s.hidden[m] for m in self.widths)
        seen = s.window * cells
        self.attention = FeedForward(seen, s.attention, seen, s.attention_dropout)
        self.proposal = FeedForward(seen, s.proposal, u, s.proposal_dropout)
        self.retain = FeedForward(seen, s.retain, u, s.retain_dropout)
        self.update = FeedForward(seen, s.update, u, s.update_dropout)
        self.classifier = FeedForward(cells + u, s.output, outputs, s.output_dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Standardised features to [n, outputs]: a score, or a logit a class."""
        x, lengths = align(batch, self.widths)
        states, cells = zip(*(lstm(x[m]) for m, lstm in self.lstms.items()), strict=True)
        window = self._window(torch.cat(cells, dim=-1))
        attended = window * self.attention(window).softmax(-1)
        found = torch.cat([*states, self._memory(attended)], dim=-1)
        y: Tensor = self.classifier(last_step(found, lengths))
        return y

    def _window(self, cells: Tensor) -> Tensor:
        """C: each step's cells after those of the steps before it, zeros before the first."""
        steps = cells.shape[1]
        ages = reversed(range(self.settings.window))
        return torch.cat([F.pad(cells, (0, 0, age, 0))[:, :steps] for age in ages], dim=-1)

    def _memory(self, attended: Tensor) -> Tensor:
        """Ĉ [n, steps, …] to u [n, steps, memory]. Only the sum itself goes step by step."""
        retained = self.retain(attended).sigmoid()
        added = self.update(attended).sigmoid() * self.proposal(attended).tanh()
        memory, memories = torch.zeros_like(added[:, 0]), []
        for kept, new in zip(retained.unbind(1), added.unbind(1), strict=True):
            memory = kept * memory + new
            memories.append(memory)
        return torch.stack(memories, dim=1)
