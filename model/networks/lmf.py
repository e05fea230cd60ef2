"""Low-rank Multimodal Fusion (LMF)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from model.data.batch import Batch
from model.data.by_modality import ByModality
from model.layers.late_fusion import EmbeddingSettings, embedded, embedding_size, embeddings
from model.network import Network


class Lmf(Network):
    """The tensor of all products as in TFN, its weights a sum of few products, to scores.

    Source: Liu et al. 2018, "Efficient Low-rank Multimodal Fusion with Modality-Specific Factors",
    eq. (6), with the nets of LF-DNN and TFN for the modalities.

        z_m    as in LF-DNN                                 [n, size_m]
        p_i    = ∏_m (w_m^(i) · [z_m ⊕ 1])                  [n, outputs] for each rank i = 1 … r
        y      = Σ_i v_i p_i + b

    With v_i = 1 and b = 0 it is a linear layer on TFN's ⊗_m [z_m ⊕ 1], its weights Σ_i ⊗_m w_m^(i):
    ranks times the sum of the sizes instead of their product. v and b are in the authors' program.

    Departures: those of LF-DNN. 505,021 parameters with MMSA's features (text 768 wide, sound 5,
    picture 20) and preset for CMU-MOSI, in MMSA 505,071: two batch normalisations.
    """

    class Settings(EmbeddingSettings):
        """As for late fusion; the defaults are those of CMU-MOSI."""

        hidden: ByModality[PositiveInt] = ByModality[PositiveInt](visual=128, audio=16, text=128)
        text_out: int = Field(64, ge=1)
        dropout: float = Field(0.3, ge=0, lt=1)

        rank: int = Field(3, ge=1, le=1000)
        """Number r of products that the weights are a sum of."""

    settings: Settings

    def __init__(self, widths: Mapping[str, int], outputs: int, settings: Settings) -> None:
        super().__init__(widths, outputs, settings)
        self.embeddings = embeddings(self.widths, settings)
        shapes = {m: (settings.rank, embedding_size(m, settings) + 1, outputs) for m in self.widths}
        self.factors = nn.ParameterDict(
            {m: nn.Parameter(nn.init.xavier_normal_(torch.empty(s))) for m, s in shapes.items()}
        )
        self.weights = nn.Parameter(nn.init.xavier_normal_(torch.empty(1, settings.rank)))
        self.bias = nn.Parameter(torch.zeros(outputs))

    @property
    def vectors(self) -> Mapping[str, int]:
        """z of each modality."""
        return {m: embedding_size(m, self.settings) for m in self.widths}

    def forward(self, batch: Batch) -> Tensor:
        """Standardised features to [n, outputs]: a score, or a logit a class."""
        z = embedded(batch, self.embeddings)
        factors = [F.pad(own, (0, 1), value=1.0) @ self.factors[m] for m, own in z.items()]
        p = torch.stack(factors).prod(0)  # [r, n, outputs]
        return self.beside(torch.tensordot(self.weights[0], p, dims=1) + self.bias, z)
