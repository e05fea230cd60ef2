"""Early fusion by an LSTM (EF-LSTM)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from model.data.batch import Batch
from model.layers.align import align
from model.layers.attention import FeedForward
from model.layers.recurrent import Lstm, last_step
from model.network import Network, NetworkSettings
from model.step.dropout import Dropout


class EfLstm(Network):
    """The modalities' steps side by side, through one LSTM, to scores.

    Source: Williams et al. 2018, "Recognizing emotions in video using multimodal DNN feature
    fusion"; the baseline of Zadeh et al. 2018, "Memory Fusion Network", and Yu et al. 2020.

        x^t = [x_v^t ⊕ x_a^t ⊕ x_t^t]
        h^t = LSTM_L(… LSTM_1(x^t))
        y   = W₂ ReLU(W₁ h^T + b₁) + b₂                    T: the last real step

    x^t [n, sum of widths], h^t [n, hidden], y [n, outputs].

    Departures: a modality with fewer steps than another is stretched over the same time (see
    `align`), as the steps were not aligned to words; one that a clip lacks is zero, the mean.
    h^T is the state after the last real step, where implementations at hand go on over the
    padding, and features come standardised, in place of a batch normalisation of each step.
    """

    class Settings(NetworkSettings):
        hidden: int = Field(128, ge=1)
        """Width of each LSTM layer."""

        layers: int = Field(4, ge=1, le=100)
        """Number of LSTM layers."""

        dropout: float = Field(0.5, ge=0, lt=1)
        """Dropout after each LSTM layer."""

    settings: Settings

    def __init__(self, widths: Mapping[str, int], outputs: int, settings: Settings) -> None:
        super().__init__(widths, outputs, settings)
        hidden, layers, dropout = settings.hidden, settings.layers, settings.dropout
        between = dropout if layers > 1 else 0.0  # of layers, where one has none
        self.lstm = Lstm(sum(self.widths.values()), hidden, layers, between)
        self.dropout = Dropout(dropout)
        self.classifier = FeedForward(hidden, hidden, outputs, dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Standardised features to [n, outputs]: a score, or a logit a class."""
        x, lengths = align(batch, self.widths)
        states = self.lstm(torch.cat(list(x.values()), dim=-1))
        y: Tensor = self.classifier(self.dropout(last_step(states, lengths)))
        return y
