"""SMP and its training as one would first write them: torch's own layers, eager, a DataLoader."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.data import DataLoader, Dataset

from model.layers.attention import positions
from model.networks.smp import Smp
from pipeline.stage.about import MODALITIES

PAIRS = list(combinations(MODALITIES, 2))
Arrays = Mapping[str, np.ndarray]
"""By modality its features [n, steps, width]; by "m length" its lengths; "label" [n]."""


class PlainBranch(nn.Module):
    """Cross attention, self attention, feed-forward; each added to its input and normalised."""

    def __init__(self, settings: Smp.Settings) -> None:
        super().__init__()
        d, heads = settings.width, settings.heads
        self.cross = nn.MultiheadAttention(d, heads, bias=False, batch_first=True)
        self.within = nn.MultiheadAttention(d, heads, bias=False, batch_first=True)
        self.inner = nn.Linear(d, settings.feedforward)
        self.outer = nn.Linear(settings.feedforward, d)
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(3))
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor, source: Tensor, padded: Tensor, source_padded: Tensor) -> Tensor:
        """x, source [n, steps, d], True where padded, to [n, steps, d]."""
        crossed, _ = self.cross(x, source, source, key_padding_mask=source_padded)
        x = self.norms[0](x + self.dropout(crossed))
        within, _ = self.within(x, x, x, key_padding_mask=padded)
        x = self.norms[1](x + self.dropout(within))
        y: Tensor = self.norms[2](x + self.dropout(self.outer(self.inner(x).relu())))
        return y


class PlainSmp(nn.Module):
    """The same network as `model.networks.smp`, for clips that have all three modalities."""

    def __init__(self, widths: Mapping[str, int], settings: Smp.Settings) -> None:
        super().__init__()
        d = settings.width
        self.maps = nn.ModuleDict({m: nn.Linear(widths[m], d) for m in MODALITIES})
        self.lstms = nn.ModuleDict(
            {m: nn.LSTM(d, d // 2, batch_first=True, bidirectional=True) for m in MODALITIES}
        )
        self.inner = nn.ModuleDict({m: nn.Linear(d, d) for m in MODALITIES})
        self.score = nn.ModuleDict({m: nn.Linear(d, 1, bias=False) for m in MODALITIES})
        self.left = nn.ModuleList(PlainBranch(settings) for _ in PAIRS)
        self.right = nn.ModuleList(PlainBranch(settings) for _ in PAIRS)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(2 * d, d, settings.kernel, padding=settings.kernel // 2) for _ in PAIRS
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.classifier = nn.Linear(6 * d, 1)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """A batch of `Arrays` as tensors to scores [n, 1]."""
        lengths = {m: batch[f"{m} length"] for m in MODALITIES}
        x = {m: self.maps[m](batch[m]) for m in MODALITIES}
        steps, d = x["text"].shape[1:]
        padded = {m: torch.arange(steps) >= lengths[m][:, None] for m in MODALITIES}
        parts = [self._intra(m, x[m], lengths[m], padded[m]) for m in MODALITIES]
        placed = {m: x[m] + positions(steps, d) for m in MODALITIES}
        parts += [self._fused(i, placed, padded) for i in range(len(PAIRS))]
        y: Tensor = self.classifier(self.dropout(torch.cat(parts, dim=-1)))
        return y

    def _intra(self, m: str, x: Tensor, lengths: Tensor, padded: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(
            self.lstms[m](packed)[0], batch_first=True, total_length=x.shape[1]
        )
        scores = self.score[m](self.inner[m](states).tanh())
        weights = scores.masked_fill(padded[..., None], float("-inf")).softmax(1)
        return (weights * states).sum(1)

    def _fused(self, i: int, x: Mapping[str, Tensor], padded: Mapping[str, Tensor]) -> Tensor:
        m, n = PAIRS[i]
        left = self.left[i](x[m], x[n], padded[m], padded[n]) * ~padded[m][..., None]
        right = self.right[i](x[n], x[m], padded[n], padded[m]) * ~padded[n][..., None]
        both = torch.cat([left, right], dim=-1)
        fused: Tensor = self.convolutions[i](both.transpose(1, 2)).transpose(1, 2)
        real = ~(padded[m] & padded[n])[..., None]
        return (fused * real).sum(1) / real.sum(1)

    def copy_from(self, smp: Smp) -> None:
        """Take the weights of `smp`."""
        w = smp.state_dict()
        state = {f"maps.{m}.{part}": w[f"maps.{m}.{part}"] for m in MODALITIES for part in _LINEAR}
        for m in MODALITIES:
            state |= {f"{part}.{m}.weight": w[f"intra.{m}.pool.{part}.weight"] for part in _POOL}
            state[f"inner.{m}.bias"] = w[f"intra.{m}.pool.inner.bias"]
            for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
                state[f"lstms.{m}.{name}"] = w[f"intra.{m}.context.forth.{name}"]
                state[f"lstms.{m}.{name}_reverse"] = w[f"intra.{m}.context.back.{name}"]
        for i, (m, n) in enumerate(PAIRS):
            for part in _LINEAR:
                state[f"convolutions.{i}.{part}"] = w[f"fusions.{m}_{n}.convolution.{part}"]
            for side in ("left", "right"):
                state |= _branch(w, f"fusions.{m}_{n}.{side}", f"{side}.{i}")
        state |= {f"classifier.{part}": w[f"classifier.{part}"] for part in _LINEAR}
        self.load_state_dict(state)


_LINEAR = ("weight", "bias")
_POOL = ("inner", "score")


def _branch(w: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    state = {}
    for attention in ("cross", "within"):
        read = [w[f"{theirs}.{attention}.{name}.weight"] for name in ("query", "key", "value")]
        state[f"{ours}.{attention}.in_proj_weight"] = torch.cat(read)
        state[f"{ours}.{attention}.out_proj.weight"] = w[f"{theirs}.{attention}.output.weight"]
    for part in _LINEAR:
        state[f"{ours}.inner.{part}"] = w[f"{theirs}.feedforward.inner.{part}"]
        state[f"{ours}.outer.{part}"] = w[f"{theirs}.feedforward.outer.{part}"]
        state |= {f"{ours}.norms.{k}.{part}": w[f"{theirs}.norms.{k}.{part}"] for k in range(3)}
    return state


class Clips(Dataset[dict[str, Tensor]]):
    """A dict of arrays, clip by clip."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays["label"])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: torch.as_tensor(array[index]) for name, array in self.arrays.items()}


class PlainTrainer:
    """Adam, clipped gradients, a sum of `.item()` and a validation an epoch."""

    def __init__(self, model: PlainSmp, fitted: Arrays, held_out: Arrays, batch: int) -> None:
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        self.loss = nn.L1Loss()
        self.fitted = DataLoader(Clips(fitted), batch, shuffle=True)
        self.held_out = DataLoader(Clips(held_out), batch)

    def epoch(self) -> tuple[float, float]:
        """Mean losses of training and validation."""
        self.model.train()
        total = 0.0
        for batch in self.fitted:
            self.optimizer.zero_grad()
            loss = self.loss(self.model(batch), batch["label"][:, None])
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            total += loss.item()
        return total / len(self.fitted), self._validate()

    @torch.no_grad()
    def _validate(self) -> float:
        self.model.eval()
        losses = [self.loss(self.model(b), b["label"][:, None]).item() for b in self.held_out]
        return sum(losses) / len(losses)
