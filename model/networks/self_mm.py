"""Self-supervised multi-task learning of what each modality says (Self-MM)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from model.data.batch import Batch, real_steps
from model.data.by_modality import ByModality
from model.layers.attention import mean_pool
from model.layers.recurrent import Lstm, last_step
from model.network import Criterion, Network, NetworkSettings
from model.step.dropout import Dropout

Rate = Annotated[float, Field(ge=0, lt=1)]
ALL = "all"
LEAST = 1e-8


class SelfMm(Network):
    """Late fusion, beside which each modality predicts a label of its own that training makes.

    Source: Yu et al. 2021, "Learning Modality-Specific Representations with Self-Supervised
    Multi-Task Learning for Multimodal Sentiment Analysis".

        F_s  = state of an LSTM after the last real step of picture and of sound, the mean of text
        F_m  = [F_v ⊕ F_a ⊕ F_t]
        F_i* = ReLU(W₁ F_i + b₁),  ŷ_i = W₂ F_i* + b₂       i: each modality s, and m, the score
        loss = mean of |ŷ_m − y_m| + Σ_s tanh(|y_s − y_m|) |ŷ_s − y_s|

    The labels y_s of the clips to train on are y_m in the first epoch, and in epoch e > 1, once a
    batch has given its loss,

        y_s ← (e − 1)/(e + 1) y_s + 2/(e + 1) (y_m α_s/α_m + y_m + α_s − α_m)/2
        α_i = (D_i⁻ − D_i⁺)/(D_i⁺ + ε),  D_i^± = ‖F_i* − C_i^±‖² / √d_i

    C_i⁺ and C_i⁻: the mean F_i* of clips whose y_i is above and below zero, as last seen. A clip
    has no part in the task of a modality that it lacks.

    Departures: what is added to a label is cut off at ±limit, as the authors' program does, for α_m
    may be near zero. Text is the mean of its steps, which need not begin with [CLS]. For anything
    but a score, y_s is y_m and all tasks weigh the same. Each task has two layers, as in the paper,
    and sound and picture none after the LSTM, of which MMSA has one more each: 139,108 parameters
    with MMSA's features and preset for CMU-MOSI, in MMSA 159,332 beside BERT.
    """

    class Settings(NetworkSettings):
        visual_hidden: int = Field(32, ge=1)
        """Width of the picture's LSTM."""

        audio_hidden: int = Field(16, ge=1)
        """Width of the sound's LSTM."""

        fusion: int = Field(128, ge=1)
        """Width of F_m*."""

        task: ByModality[PositiveInt] = ByModality[PositiveInt](visual=32, audio=16, text=32)
        """Width of each F_s*."""

        fusion_dropout: Rate = 0.0
        """Dropout on F_m."""

        dropout: ByModality[Rate] = ByModality[Rate](visual=0.0, audio=0.1, text=0.1)
        """Dropout on F_s, before its own task alone."""

        limit: float = Field(3.0, gt=0)
        """The largest label that training makes: the end of the scale."""

    settings: Settings

    def __init__(self, widths: Mapping[str, int], outputs: int, settings: Settings) -> None:
        super().__init__(widths, outputs, settings)
        s = settings
        hidden = {"visual": s.visual_hidden, "audio": s.audio_hidden}
        lstms = {m: Lstm(self.widths[m], h) for m, h in hidden.items() if m in self.widths}
        self.lstms = nn.ModuleDict(lstms)
        sizes = {m: hidden.get(m, width) for m, width in self.widths.items()}
        self.tasks = nn.ModuleDict(
            {m: TaskNet(size, s.task[m], outputs, s.dropout[m]) for m, size in sizes.items()}
        )
        self.tasks[ALL] = TaskNet(sum(sizes.values()), s.fusion, outputs, s.fusion_dropout)

    def begin(self, epoch: int, clips: int) -> None:
        """Remember no clip in the first epoch."""
        self.epoch = epoch
        if epoch > 1:
            return
        zeros = next(self.parameters()).new_zeros
        for name in self.tasks:
            labels, seen = zeros(clips, 1), zeros(clips, self._width(name))
            self.register_buffer(f"{name}_labels", labels, persistent=False)
            self.register_buffer(f"{name}_seen", seen, persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """Standardised features to [n, outputs]: a score, or a logit a class."""
        y: Tensor = self.tasks[ALL](torch.cat(self._read(batch), dim=-1))[1]
        return y

    def loss(self, batch: Batch, targets: Tensor, criterion: Criterion, rows: Tensor) -> Tensor:
        """The error of all tasks; then the labels of the clips at `rows` move on."""
        read = self._read(batch)
        found = {m: self.tasks[m](x) for m, x in zip(self.widths, read, strict=True)}
        star, y = self.tasks[ALL](torch.cat(read, dim=-1))
        error = criterion(y, targets)
        if self.outputs > 1:
            return torch.stack([error, *(criterion(y, targets) for _, y in found.values())]).sum()
        for m, (_, own) in found.items():
            given = (batch.lengths[m] > 0)[:, None]
            labels = targets if self.epoch == 1 else self.get_buffer(f"{m}_labels")[rows]
            weights = (labels - targets).abs().tanh() * given
            error = error + (weights * (own - labels).abs()).mean()
        self._move(batch, targets, {ALL: star, **{m: star for m, (star, _) in found.items()}}, rows)
        return error

    def _width(self, name: str) -> int:
        """Of F*."""
        return self.settings.fusion if name == ALL else self.settings.task[name]

    def _read(self, batch: Batch) -> list[Tensor]:
        """F of each modality."""
        found = []
        for m in self.widths:
            x, lengths = batch.features[m], batch.lengths[m]
            if m in self.lstms:
                found.append(last_step(self.lstms[m](x), lengths))
            else:
                found.append(mean_pool(x, real_steps(lengths, x.shape[1])))
        return found

    @torch.no_grad()
    def _move(
        self, batch: Batch, targets: Tensor, stars: Mapping[str, Tensor], rows: Tensor
    ) -> None:
        """Make the labels y_s anew, and remember what the clips look like, F*."""
        e, limit = self.epoch, self.settings.limit
        alpha = {name: self._nearness(name, star) for name, star in stars.items()}
        for name, star in stars.items():
            labels, made = self.get_buffer(f"{name}_labels"), targets
            if name != ALL and e > 1:
                shared, own = alpha[ALL], alpha[name]
                made = (targets * own / (shared + LEAST) + targets + own - shared) / 2
                made = ((e - 1) * labels[rows] + 2 * made.clamp(-limit, limit)) / (e + 1)
            if name != ALL:
                made = made * (batch.lengths[name] > 0)[:, None]
            labels[rows] = made
            self.get_buffer(f"{name}_seen")[rows] = star

    def _nearness(self, name: str, star: Tensor) -> Tensor:
        """α [n, 1]: how much nearer the clips that are positive are than the negative."""
        labels, seen = self.get_buffer(f"{name}_labels"), self.get_buffer(f"{name}_seen")
        distances = []
        for chosen in (labels > 0, labels < 0):
            centre = (seen * chosen).sum(0) / chosen.sum(0).clamp(min=1)
            apart = (star - centre).square().sum(-1, keepdim=True)
            distances.append(apart / star.shape[1] ** 0.5)
        return (distances[1] - distances[0]) / (distances[0] + LEAST)


class TaskNet(nn.Module):
    """F* and ŷ of one task."""

    def __init__(self, width: int, hidden: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """F [n, width] to F* [n, hidden] and ŷ [n, outputs]."""
        star = self.inner(self.dropout(x)).relu()
        return star, self.outer(star)
