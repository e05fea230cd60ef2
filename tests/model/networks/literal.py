"""The baselines of the paper, spelled out: one clip, one step, one head at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import floor, tanh

import numpy as np
import torch

from model.data.batch import Batch
from model.testing import WIDTHS
from tests.model.networks.test_smp import (
    attention,
    feed_forward,
    layer_norm,
    linear,
    lstm,
    placed,
    sigmoid,
    softmax,
)

Rows = list[np.ndarray]


def weights_of(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.double().numpy() for name, value in module.state_dict().items()}


def clips_of(batch: Batch, modalities) -> Iterator[dict[str, Rows]]:
    """The real steps of each clip, and nothing else."""
    for clip in range(len(batch)):
        yield {
            m: list(batch.features[m][clip, : batch.lengths[m][clip]].double().numpy())
            for m in modalities
        }


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(0, x)


def stretched(rows: Rows, steps: int) -> Rows:
    return [rows[floor(t * (len(rows) - 1) / max(steps - 1, 1) + 0.5)] for t in range(steps)]


def side_by_side(x: dict[str, Rows]) -> dict[str, Rows]:
    """All modalities over the time of the longest; zeros for one that is not there."""
    steps = max(len(rows) for rows in x.values())
    return {
        m: stretched(rows, steps) if rows else [np.zeros(WIDTHS[m])] * steps
        for m, rows in x.items()
    }


def literal_ef_lstm(w, settings, x: dict[str, Rows]) -> np.ndarray:
    rows = [np.concatenate(step) for step in zip(*side_by_side(x).values(), strict=True)]
    for layer in range(settings.layers):
        own = {k.replace(f"_l{layer}", "_l0"): v for k, v in w.items() if k.endswith(f"_l{layer}")}
        rows = lstm(own, "lstm", rows)
    last = rows[-1] if rows else np.zeros(settings.hidden)
    return feed_forward(w, "classifier", last)


def embeddings(w, settings, x: dict[str, Rows]) -> Rows:
    found = []
    for m, rows in x.items():
        name = f"embeddings.{m}"
        if not rows:
            z = np.zeros(settings.text_out if m == "text" else settings.hidden[m])
        elif m == "text":
            z = linear(w, f"{name}.layer", lstm(w, f"{name}.lstm", rows)[-1])
        else:
            z = sum(rows, np.zeros(len(rows[0]))) / len(rows)
            for layer in range(3):
                z = relu(linear(w, f"{name}.layers.{layer}", z))
        found.append(z)
    return found


def after_fusion(w, z: np.ndarray) -> np.ndarray:
    z = relu(linear(w, "classifier.1", z))
    z = relu(linear(w, "classifier.3", z))
    return linear(w, "classifier.5", z)


def literal_lf_dnn(w, settings, x: dict[str, Rows]) -> np.ndarray:
    return after_fusion(w, np.concatenate(embeddings(w, settings, x)))


def literal_tfn(w, settings, x: dict[str, Rows]) -> np.ndarray:
    with_ones = [[*z, 1.0] for z in embeddings(w, settings, x)]
    return after_fusion(w, np.array([np.prod(factors) for factors in product(*with_ones)]))


def lstm_cells(w, name: str, rows: Rows) -> tuple[Rows, Rows]:
    """States and cells."""
    hidden = w[f"{name}.weight_hh"].shape[1]
    h, c, states, cells = np.zeros(hidden), np.zeros(hidden), [], []
    for x in rows:
        gates = w[f"{name}.weight_ih"] @ x + w[f"{name}.bias_ih"]
        gates = gates + w[f"{name}.weight_hh"] @ h + w[f"{name}.bias_hh"]
        i, f, g, o = np.split(gates, 4)
        c = np.array([sigmoid(f[k]) * c[k] + sigmoid(i[k]) * tanh(g[k]) for k in range(hidden)])
        h = np.array([sigmoid(o[k]) * tanh(c[k]) for k in range(hidden)])
        states.append(h)
        cells.append(c)
    return states, cells


def literal_mfn(w, settings, x: dict[str, Rows]) -> np.ndarray:
    x = side_by_side(x)
    per_view = [lstm_cells(w, f"lstms.{m}.cell", rows) for m, rows in x.items()]
    size = sum(settings.hidden[m] for m in x)
    steps = len(next(iter(x.values())))
    c = [np.zeros(size)] * (settings.window - 1)
    c += [np.concatenate([cells[t] for _, cells in per_view]) for t in range(steps)]
    u = np.zeros(settings.memory)
    for t in range(steps):
        window = np.concatenate(c[t : t + settings.window])
        scores = feed_forward(w, "attention", window)
        attended = window * np.array(softmax(list(scores)))
        keep = [sigmoid(g) for g in feed_forward(w, "retain", attended)]
        add = [sigmoid(g) for g in feed_forward(w, "update", attended)]
        new = np.tanh(feed_forward(w, "proposal", attended))
        u = np.array([keep[k] * u[k] + add[k] * new[k] for k in range(len(u))])
    h = np.concatenate([states[-1] for states, _ in per_view]) if steps else np.zeros(size)
    return feed_forward(w, "classifier", np.concatenate([h, u]))


def convolved(w, m: str, rows: Rows) -> Rows:
    kernel = w[f"convolutions.{m}.weight"]
    half = kernel.shape[2] // 2
    out = []
    for t in range(len(rows)):
        total = np.zeros(len(kernel))
        for k in range(-half, half + 1):
            if 0 <= t + k < len(rows):
                total += kernel[:, :, k + half] @ rows[t + k]
        out.append(total)
    return out


def transformer(w, name: str, levels: int, heads: int, x: Rows, source: Rows | None) -> Rows:
    for level in range(levels):
        layer = f"{name}.layers.{level}"
        normal = [layer_norm(w, f"{layer}.norms.0", row) for row in x]
        other = normal if source is None else source
        if source is not None:
            other = [layer_norm(w, f"{layer}.norms.0", row) for row in source]
        told = [np.zeros_like(row) for row in x]
        if other:
            told = attention(w, f"{layer}.attention", normal, other, heads)
        x = [layer_norm(w, f"{layer}.norms.1", a + b) for a, b in zip(told, normal, strict=True)]
        x = [feed_forward(w, f"{layer}.feedforward", row) + row for row in x]
    return x


def literal_mult(w, settings, x: dict[str, Rows]) -> np.ndarray:
    s = settings
    z = {m: placed(convolved(w, m, rows)) for m, rows in x.items()}
    last = []
    for m in z:
        others = [n for n in z if n != m]
        if not z[m]:
            last.append(np.zeros(s.width * max(1, len(others))))
            continue
        h = z[m]
        if others:
            streams = [
                transformer(w, f"crossmodal.{n}_to_{m}", s.levels, s.heads, z[m], z[n])
                for n in others
            ]
            h = placed([np.concatenate(step) for step in zip(*streams, strict=True)])
        last.append(transformer(w, f"memories.{m}", s.memory_levels, s.heads, h, None)[-1])
    e = np.concatenate(last)
    return linear(w, "classifier", e + feed_forward(w, "residual", e))


LITERAL = {
    "ef_lstm": literal_ef_lstm,
    "lf_dnn": literal_lf_dnn,
    "mfn": literal_mfn,
    "mult": literal_mult,
    "tfn": literal_tfn,
}
