"""The models that came after the paper's, spelled out: one clip, one step, one head at a time."""

from __future__ import annotations

import numpy as np

from tests.model.networks.literal import Rows, convolved, embeddings, relu, transformer
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


def squashed(x: np.ndarray) -> np.ndarray:
    return np.array([sigmoid(value) for value in x])


def mean(rows: Rows, width: int) -> np.ndarray:
    return sum(rows, np.zeros(width)) / max(len(rows), 1)


def literal_lmf(w, settings, x: dict[str, Rows]) -> np.ndarray:
    z = dict(zip(x, embeddings(w, settings, x), strict=True))
    y = w["bias"].copy()
    for i in range(settings.rank):
        product = np.ones_like(y)
        for m in x:
            product = product * (np.array([*z[m], 1.0]) @ w[f"factors.{m}"][i])
        y += w["weights"][0, i] * product
    return y


def pre_norm(w, name: str, x: Rows, source: Rows | None, heads: int) -> Rows:
    target = [layer_norm(w, f"{name}.norms.0", row) for row in x]
    others = target
    if source is not None:
        others = [layer_norm(w, f"{name}.norms.2", row) for row in source]
    told = attention(w, f"{name}.attention", target, others, heads)
    z = [row + more for row, more in zip(x, told, strict=True)]
    inner = [layer_norm(w, f"{name}.norms.1", row) for row in z]
    return [
        row + feed_forward(w, f"{name}.feedforward", more)
        for row, more in zip(z, inner, strict=True)
    ]


def hidden_of_transformers(w, settings, x: dict[str, Rows]) -> dict[str, np.ndarray]:
    h = {}
    for m, rows in x.items():
        name = f"encoders.{m}"
        z = placed([linear(w, f"{name}.map", row) for row in rows])
        for layer in range(settings.layers):
            z = pre_norm(w, f"{name}.layers.{layer}", z, None, settings.heads) if z else z
        h[m] = mean([layer_norm(w, f"{name}.norm", row) for row in z], settings.width)
    return h


def literal_late_transformer(w, settings, x: dict[str, Rows]) -> np.ndarray:
    h = hidden_of_transformers(w, settings, x)
    return linear(w, "classifier", np.concatenate([*h.values()]))


def literal_almt(w, settings, x: dict[str, Rows]) -> np.ndarray:
    s, first = settings, {}
    for m, rows in x.items():
        name = f"summaries.{m}"
        read = [
            *w[f"{name}.tokens"],
            *placed([linear(w, f"{name}.map", row) for row in rows]),
        ]
        first[m] = pre_norm(w, f"{name}.layer", read, None, s.heads)[: s.tokens]
    leading = "text" if "text" in x else next(iter(x))
    levels = [first[leading]]
    for layer in range(s.depth - 1):
        levels.append(pre_norm(w, f"deeper.{layer}", levels[-1], None, s.heads))
    hyper = list(w["hyper"])
    for layer, level in enumerate(levels):
        given = {m: first[m] for m in x if (m != leading or len(x) == 1) and x[m]}
        added = guided(w, f"hyper_layers.{layer}", level, given, s.heads)
        hyper = [row + more for row, more in zip(hyper, added, strict=True)]
    rows, source = [*w["token"], *levels[-1]], [*w["token"], *hyper]
    for layer in range(s.fusion_layers):
        rows = pre_norm(w, f"fusion.{layer}", rows, source, s.heads)
    return linear(w, "classifier", rows[0])


def guided(w, name: str, level: Rows, given: dict[str, Rows], heads: int) -> Rows:
    size = len(level[0]) // heads
    added = []
    for row in level:
        query, found = linear(w, f"{name}.query", layer_norm(w, f"{name}.norm", row)), []
        for head in range(heads):
            own, total = slice(head * size, (head + 1) * size), np.zeros(size)
            for m, rows in given.items():
                normal = [layer_norm(w, f"{name}.norms.{m}", other) for other in rows]
                keys = [linear(w, f"{name}.keys.{m}", other)[own] for other in normal]
                values = [linear(w, f"{name}.values.{m}", other)[own] for other in normal]
                scores = softmax([float(query[own] @ key) / size**0.5 for key in keys])
                total = total + sum(a * v for a, v in zip(scores, values, strict=True))
            found.append(total)
        added.append(linear(w, f"{name}.output", np.concatenate(found)))
    return added


def turned(w, name: str, rows: Rows) -> tuple[Rows, Rows]:
    """An LSTM's states forth and back, both in the order of the steps."""
    return lstm(w, f"{name}.forth", rows), lstm(w, f"{name}.back", rows[::-1])[::-1]


def utterance(w, m: str, rows: Rows, recurrent: int) -> np.ndarray:
    name = f"utterances.{m}"
    if m == "text":
        s = mean(rows, w[f"{name}.layer.weight"].shape[1])
    else:
        forth, back = turned(w, f"{name}.first", rows)
        both = [np.concatenate(pair) for pair in zip(forth, back, strict=True)]
        normal = [layer_norm(w, f"{name}.between", row) for row in both]
        again, again_back = turned(w, f"{name}.second", normal)
        s = np.zeros(4 * recurrent)
        if rows:
            s = np.concatenate([forth[-1], back[0], again[-1], again_back[0]])
    return layer_norm(w, f"{name}.norm", relu(linear(w, f"{name}.layer", s)))


def literal_misa(w, settings, x: dict[str, Rows]) -> np.ndarray:
    d, given = settings.width, [bool(x[m]) for m in x] * 2
    u = {m: utterance(w, m, rows, settings.recurrent) for m, rows in x.items()}
    rows = [squashed(linear(w, f"private.{m}", u[m])) for m in x]
    rows += [squashed(linear(w, "shared", u[m])) for m in x]
    there = [row for row, is_given in zip(rows, given, strict=True) if is_given]
    out = []
    for row, is_given in zip(rows, given, strict=True):
        if is_given:
            told = attention(w, "attention", [row], there, settings.heads)[0]
            a = layer_norm(w, "norms.0", row + told)
            out.append(layer_norm(w, "norms.1", a + feed_forward(w, "feedforward", a)))
        else:
            out.append(np.zeros(d))
    return feed_forward(w, "classifier", np.concatenate(out))


def read_by_self_mm(w, m: str, rows: Rows, width: int) -> np.ndarray:
    if m == "text":
        return mean(rows, width)
    states = lstm(w, f"lstms.{m}", rows)
    return states[-1] if rows else np.zeros(w[f"lstms.{m}.weight_hh_l0"].shape[1])


def task(w, name: str, read: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    star = relu(linear(w, f"tasks.{name}.inner", read))
    return star, linear(w, f"tasks.{name}.outer", star)


def tasks(w, x: dict[str, Rows]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """F* and ŷ of every task."""
    widths = {m: w[f"tasks.{m}.inner.weight"].shape[1] for m in x}
    read = {m: read_by_self_mm(w, m, rows, widths[m]) for m, rows in x.items()}
    found = {m: task(w, m, read[m]) for m in x}
    return found | {"all": task(w, "all", np.concatenate(list(read.values())))}


def literal_self_mm(w, settings, x: dict[str, Rows]) -> np.ndarray:
    return tasks(w, x)["all"][1]


def gru(w, name: str, rows: Rows) -> Rows:
    h, out = np.zeros(w[f"{name}.weight_hh_l0"].shape[1]), []
    for x in rows:
        read = w[f"{name}.weight_ih_l0"] @ x + w[f"{name}.bias_ih_l0"]
        kept = w[f"{name}.weight_hh_l0"] @ h + w[f"{name}.bias_hh_l0"]
        (r, z, n), (hr, hz, hn) = np.split(read, 3), np.split(kept, 3)
        update, new = squashed(z + hz), np.tanh(n + squashed(r + hr) * hn)
        h = (1 - update) * new + update * h
        out.append(h)
    return out


def gated(w, name: str, rows: Rows, layers: int) -> np.ndarray:
    states = rows
    for layer in range(layers):
        forth = gru(w, f"{name}.grus.{layer}.forth", states)
        back = gru(w, f"{name}.grus.{layer}.back", states[::-1])[::-1]
        states = [np.concatenate(pair) for pair in zip(forth, back, strict=True)]
    kernel, out = w[f"{name}.gate.weight"][0], []
    for t in range(len(rows)):
        score = w[f"{name}.gate.bias"][0]
        for k in (-1, 0, 1):
            if 0 <= t + k < len(rows):
                score += kernel[:, k + 1] @ states[t + k]
        both = np.concatenate([rows[t], sigmoid(score) * np.tanh(states[t])])
        out.append(np.tanh(linear(w, f"{name}.layer", both)))
    return np.max(out, axis=0) if out else np.zeros(len(w[f"{name}.layer.bias"]))


def mixed(w, s, x: dict[str, Rows]) -> dict[str, Rows]:
    """H of each modality."""
    z, h = {m: placed(convolved(w, m, rows)) for m, rows in x.items()}, {}
    for m in z:
        streams = [
            transformer(
                w,
                f"transformers.{n}_to_{m}",
                s.memory_levels if n == m else s.levels,
                s.heads,
                z[m],
                None if n == m else z[n],
            )
            for n in (z if z[m] else ())
        ]
        h[m] = [np.concatenate(step) for step in zip(*streams, strict=True)]
    return h


def literal_tfr_net(w, settings, x: dict[str, Rows]) -> np.ndarray:
    u = [gated(w, f"gates.{m}", h, settings.gate_layers) for m, h in mixed(w, settings, x).items()]
    return feed_forward(w, "classifier", np.concatenate(u))


LITERAL = {
    "almt": literal_almt,
    "late_transformer": literal_late_transformer,
    "lmf": literal_lmf,
    "misa": literal_misa,
    "self_mm": literal_self_mm,
    "tfr_net": literal_tfr_net,
}
