"""The Adaptive Language-guided Multimodal Transformer (ALMT)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from model.data.batch import Batch, real_steps
from model.layers.attention import AttentionSettings, attended, positions
from model.layers.prenorm import PreNormLayer
from model.network import Network


class Almt(Network):
    """Text leads: at three depths it picks from picture and sound what adds to it, to scores.

    Source: Zhang et al. 2023, "Learning Language-guided Adaptive Hyper-modality Representation for
    Multimodal Sentiment Analysis", section 3.

        H_m¹  = E_m([H_m⁰ ; x_m W_m + b_m + PE])            the first T of its rows: [n, T, d]
        H_tʲ  = E_tʲ(H_tʲ⁻¹), j = 2 … depth
        adaptive hyper-modality layers, j = 1 … depth; LN before each of their three inputs:
            α = softmax(Q Kₐᵀ / √d_k),  β = softmax(Q K_vᵀ / √d_k)     Q of H_tʲ
            Hʲ = Hʲ⁻¹ + (α Vₐ + β V_v) W                    K, V of H_a¹ and of H_v¹
        C     = crossmodal layers of [c ; H_t] over [c ; H]
        y     = W C₀ + b                                    its first row

    H_m⁰, H⁰ [T, d] and c [1, d] are learnt. E is one transformer layer with normalisation first, so
    are E_tʲ and the crossmodal ones. Without text the first modality there is leads, and one by
    itself leads itself. What a clip lacks is attended to by nobody; as C₀ reads H alone, text has a
    say only in what is picked, and clips with nothing but text all have the same score.

    Departures: positions are sines and cosines, for any number of steps, where the authors' program
    learns some, for tokens too; heads are d / heads wide, where its are 64 outside the
    hyper-modality layers; feed-forward nets have a ReLU for its GELU; keys and values share one
    normalisation. The error is the trainer's, the paper's the squared one. 1,097,857 parameters
    with MMSA's features and preset for CMU-MOSI, in MMSA 2,603,649 beside BERT: the wider heads.
    """

    class Settings(AttentionSettings):
        width: int = Field(128, ge=1)
        """Width d of all layers; a multiple of `heads`."""

        heads: int = Field(8, ge=1)
        """Number of attention heads."""

        tokens: int = Field(8, ge=1, le=1000)
        """Number T of rows that each modality is summed up in."""

        depth: int = Field(3, ge=1, le=100)
        """Number of hyper-modality layers."""

        fusion_layers: int = Field(2, ge=1, le=100)
        """Number of crossmodal layers."""

        feedforward: int = Field(128, ge=1)
        """Inner width of the feed-forward nets."""

        dropout: float = Field(0.0, ge=0, lt=1)
        """Dropout after each sublayer."""

    settings: Settings

    def __init__(self, widths: Mapping[str, int], outputs: int, settings: Settings) -> None:
        super().__init__(widths, outputs, settings)
        s = settings
        self.leading = "text" if "text" in self.widths else next(iter(self.widths))
        self.led = [m for m in self.widths if m != self.leading] or [self.leading]
        self.summaries = nn.ModuleDict({m: Summary(width, s) for m, width in self.widths.items()})
        self.deeper = nn.ModuleList(_layer(s) for _ in range(s.depth - 1))
        self.hyper_layers = nn.ModuleList(HyperLayer(self.led, s) for _ in range(s.depth))
        self.hyper = nn.Parameter(torch.randn(s.tokens, s.width))
        self.token = nn.Parameter(torch.randn(1, s.width))
        self.fusion = nn.ModuleList(_layer(s, crossed=True) for _ in range(s.fusion_layers))
        self.classifier = nn.Linear(s.width, outputs)

    def forward(self, batch: Batch) -> Tensor:
        """Standardised features to [n, outputs]: a score, or a logit a class."""
        first = {m: net(batch.features[m], batch.lengths[m]) for m, net in self.summaries.items()}
        given = {m: self._everywhere(batch.lengths[m] > 0) for m in self.led}
        everywhere = self._everywhere(batch.has_any | True)
        levels = [first[self.leading]]
        for layer in self.deeper:
            levels.append(layer(levels[-1], None, everywhere))
        hyper = self.hyper.expand_as(levels[0])
        for layer, level in zip(self.hyper_layers, levels, strict=True):
            hyper = layer(hyper, level, first, given)
        x, source = (self._with_token(rows) for rows in (levels[-1], hyper))
        for layer in self.fusion:
            x = layer(x, source, F.pad(everywhere, (1, 0), value=True))
        y: Tensor = self.classifier(x[:, 0])
        return y

    def _everywhere(self, clips: Tensor) -> Tensor:
        """Bool [n] for all tokens, [n, T]."""
        return clips[:, None].expand(-1, self.settings.tokens)

    def _with_token(self, rows: Tensor) -> Tensor:
        return torch.cat([self.token.expand(len(rows), -1, -1), rows], dim=1)


class Summary(nn.Module):
    """H_m¹: learnt tokens that have read the steps of a modality."""

    def __init__(self, width: int, settings: Almt.Settings) -> None:
        super().__init__()
        self.map = nn.Linear(width, settings.width)
        self.tokens = nn.Parameter(torch.randn(settings.tokens, settings.width))
        self.layer = _layer(settings)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x [n, steps, width of the features], lengths [n] to [n, T, d]."""
        count = len(self.tokens)
        rows = self.map(x)
        rows = rows + positions(*rows.shape[1:], rows.device)
        rows = torch.cat([self.tokens.expand(len(x), -1, -1), rows], dim=1)
        mask = F.pad(real_steps(lengths, x.shape[1]), (count, 0), value=True)
        read: Tensor = self.layer(rows, None, mask)[:, :count]
        return read


class HyperLayer(nn.Module):
    """Hʲ of Hʲ⁻¹."""

    def __init__(self, led: list[str], settings: Almt.Settings) -> None:
        super().__init__()
        d, self.heads = settings.width, settings.heads
        self.norm = nn.LayerNorm(d)
        self.norms = nn.ModuleDict({m: nn.LayerNorm(d) for m in led})
        self.query = nn.Linear(d, d, bias=False)
        self.keys = nn.ModuleDict({m: nn.Linear(d, d, bias=False) for m in led})
        self.values = nn.ModuleDict({m: nn.Linear(d, d, bias=False) for m in led})
        self.output = nn.Linear(d, d)

    def forward(
        self, hyper: Tensor, level: Tensor, first: Mapping[str, Tensor], given: Mapping[str, Tensor]
    ) -> Tensor:
        """hyper, level and first of each modality [n, T, d]; given: bool [n, T] each."""
        query, added = self._by_head(self.query(self.norm(level))), torch.zeros_like(hyper)
        for m, norm in self.norms.items():
            source = norm(first[m])
            key, value = (self._by_head(maps[m](source)) for maps in (self.keys, self.values))
            mixed = attended(query, key, value, given[m])
            added = added + mixed.transpose(1, 2).flatten(2)
        return hyper + self.output(added)

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _layer(settings: Almt.Settings, crossed: bool = False) -> PreNormLayer:
    s = settings
    return PreNormLayer(s.width, s.heads, s.feedforward, s.dropout, crossed)
