"""A net for each modality and one over what they found: what LF-DNN, TFN and LMF have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from model.data.batch import Batch, real_steps
from model.data.by_modality import ByModality
from model.layers.attention import mean_pool
from model.layers.recurrent import Lstm, last_step
from model.network import Network, NetworkSettings
from model.step.dropout import Dropout


class EmbeddingSettings(NetworkSettings):
    """What the nets of the modalities have to be told."""

    hidden: ByModality[PositiveInt] = ByModality[PositiveInt](visual=128, audio=32, text=128)
    """Width of each modality's network."""

    text_out: int = Field(32, ge=1)
    """Width of the text embedding; for the others it is `hidden`."""

    dropout: float = Field(0.3, ge=0, lt=1)
    """Dropout in the modalities' networks."""


class LateFusion(Network):
    """z_m = E_m(x_m) for each modality; y = W₃ ReLU(W₂ ReLU(W₁ fuse(z) + b₁) + b₂) + b₃.

    For a clip without modality m, z_m is zero.
    """

    class Settings(EmbeddingSettings):
        fusion: int = Field(64, ge=1)
        """Width of the fusion network."""

        fusion_dropout: float = Field(0.5, ge=0, lt=1)
        """Dropout on the input of the fusion network."""

    settings: Settings

    def __init__(self, widths: Mapping[str, int], outputs: int, settings: Settings) -> None:
        super().__init__(widths, outputs, settings)
        s = settings
        self.embeddings = embeddings(self.widths, s)
        sizes = [embedding_size(m, s) for m in self.widths]
        self.classifier = nn.Sequential(
            Dropout(s.fusion_dropout),
            nn.Linear(self.fuse([torch.zeros(1, size) for size in sizes]).shape[1], s.fusion),
            nn.ReLU(),
            nn.Linear(s.fusion, s.fusion),
            nn.ReLU(),
            nn.Linear(s.fusion, outputs),
        )

    @abstractmethod
    def fuse(self, embeddings: Sequence[Tensor]) -> Tensor:
        """z of each modality, [n, size] each, to one vector a clip."""

    @property
    def vectors(self) -> Mapping[str, int]:
        """z of each modality."""
        return {m: embedding_size(m, self.settings) for m in self.widths}

    def forward(self, batch: Batch) -> Tensor:
        """Standardised features to [n, outputs]: a score, or a logit a class."""
        z = embedded(batch, self.embeddings)
        return self.beside(self.classifier(self.fuse([*z.values()])), z)


def embedding_size(modality: str, settings: EmbeddingSettings) -> int:
    """Width of z_m."""
    return settings.text_out if modality == "text" else settings.hidden[modality]


def embeddings(widths: Mapping[str, int], settings: EmbeddingSettings) -> nn.ModuleDict:
    """A net for each modality: of text it reads the order, of the others the mean."""
    s = settings
    return nn.ModuleDict(
        {
            m: SequenceEmbedding(width, s.hidden[m], s.text_out, s.dropout)
            if m == "text"
            else MeanEmbedding(width, s.hidden[m], s.dropout)
            for m, width in widths.items()
        }
    )


def embedded(batch: Batch, nets: nn.ModuleDict) -> dict[str, Tensor]:
    """z of each modality, [n, size] each; zeros where a clip lacks it."""
    return {m: net(batch.features[m], batch.lengths[m]) for m, net in nets.items()}


class MeanEmbedding(nn.Module):
    """The mean over the real steps, through three layers: z = r(r(r(mean x))), r = ReLU(W· + b)."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(nn.Linear(w, hidden) for w in (width, hidden, hidden))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x [n, steps, width], lengths [n] to z [n, hidden]."""
        z = self.dropout(mean_pool(x, real_steps(lengths, x.shape[1])))
        for layer in self.layers:
            z = layer(z).relu()
        return z * (lengths > 0)[:, None]


class SequenceEmbedding(nn.Module):
    """An LSTM's state after the last real step, through one layer: z = W h + b."""

    def __init__(self, width: int, hidden: int, out: int, dropout: float) -> None:
        super().__init__()
        self.lstm = Lstm(width, hidden)
        self.dropout = Dropout(dropout)
        self.layer = nn.Linear(hidden, out)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x [n, steps, width], lengths [n] to z [n, out]."""
        z: Tensor = self.layer(self.dropout(last_step(self.lstm(x), lengths)))
        return z * (lengths > 0)[:, None]
