"""SMP against its equations spelled out, and the contract that every model meets."""

from __future__ import annotations

from collections.abc import Iterator
from math import cos, exp, sin, sqrt, tanh
from typing import Any

import numpy as np
import pytest
import torch

from model.data.batch import Batch
from model.data.scaler import LIMIT, Scaler
from model.layers.attention import masked_softmax, positions
from model.layers.recurrent import BiLstm
from model.metrics import MOSI
from model.network import Network
from model.networks import names
from model.networks.smp import Smp
from model.objectives.polarity import Polarity
from model.registry import build
from model.step.threads import one_thread
from model.testing import SCORE, STEPS, WIDTHS, ModelContract, some_batch
from model.training.predictor import Predictor
from pipeline.errors import UserError

HIDDEN = {"visual": 12, "audio": 11, "text": 10}
LATE = {"hidden": HIDDEN, "text_out": 8, "fusion": 16, "dropout": 0.0, "fusion_dropout": 0.0}
GATES = {f"{net}_dropout": 0.0 for net in ("attention", "proposal", "retain", "update", "output")}
SMALL: dict[str, dict[str, Any]] = {
    "smp": {"width": 8, "heads": 2, "feedforward": 12, "dropout": 0.0},
    "ef_lstm": {"hidden": 8, "layers": 2, "dropout": 0.0},
    "lf_dnn": LATE,
    "tfn": LATE,
    "mfn": {"hidden": HIDDEN, "memory": 9, **GATES},
    "mult": {
        "width": 8,
        "heads": 2,
        "levels": 2,
        "memory_levels": 3,
        "kernel": {"visual": 3, "audio": 1, "text": 5},
        "text_dropout": 0.0,
        "embedding_dropout": 0.0,
        "attention_dropout": {"visual": 0.0, "audio": 0.0, "text": 0.0},
        "output_dropout": 0.0,
    },
    "lmf": {"hidden": HIDDEN, "text_out": 8, "rank": 2, "dropout": 0.0},
    "late_transformer": {"width": 8, "heads": 2, "feedforward": 12, "dropout": 0.0},
    "almt": {"width": 8, "heads": 2, "tokens": 3, "depth": 3, "feedforward": 12},
    "misa": {
        "width": 8,
        "recurrent": 4,
        "feedforward": 12,
        "dropout": 0.0,
        "attention_dropout": 0.0,
    },
    "self_mm": {
        "visual_hidden": 8,
        "audio_hidden": 7,
        "fusion": 16,
        "task": {"visual": 6, "audio": 5, "text": 4},
        "dropout": {"visual": 0.0, "audio": 0.0, "text": 0.0},
    },
    "tfr_net": {
        "width": 4,
        "heads": 2,
        "levels": 1,
        "memory_levels": 1,
        "gate": {"visual": 5, "audio": 4, "text": 6},
        "gate_layers": 2,
        "fusion": 16,
        "text_dropout": 0.0,
        "embedding_dropout": 0.0,
        "attention_dropout": {"visual": 0.0, "audio": 0.0, "text": 0.0},
        "residual_dropout": 0.0,
        "gate_dropout": 0.0,
        "missing": 0.2,
        "reconstruction": {"visual": 0.1, "audio": 0.2, "text": 0.3},
    },
}


def some_network(name: str = "smp", outputs: int = 1, widths=WIDTHS, **settings) -> Network:
    torch.manual_seed(3)
    return build(name, widths, outputs, SMALL.get(name, {}) | settings)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


# The equations of section III, one clip, one step, one head at a time, in double precision.


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def softmax(scores: list[float]) -> list[float]:
    powers = [exp(s - max(scores)) for s in scores]
    return [p / sum(powers) for p in powers]


def linear(w, name: str, x: np.ndarray) -> np.ndarray:
    return w[f"{name}.weight"] @ x + w.get(f"{name}.bias", 0.0)


def placed(rows: list[np.ndarray]) -> list[np.ndarray]:
    out = []
    for step, row in enumerate(rows):
        d = len(row)
        code = [(sin if i % 2 == 0 else cos)(step / 10_000 ** (2 * (i // 2) / d)) for i in range(d)]
        out.append(row + np.array(code))
    return out


def lstm(w, name: str, rows: list[np.ndarray]) -> list[np.ndarray]:
    hidden = w[f"{name}.weight_hh_l0"].shape[1]
    h, c, out = np.zeros(hidden), np.zeros(hidden), []
    for x in rows:
        gates = w[f"{name}.weight_ih_l0"] @ x + w[f"{name}.bias_ih_l0"]
        gates = gates + w[f"{name}.weight_hh_l0"] @ h + w[f"{name}.bias_hh_l0"]
        i, f, g, o = np.split(gates, 4)
        for k in range(hidden):
            c[k] = sigmoid(f[k]) * c[k] + sigmoid(i[k]) * tanh(g[k])
        h = np.array([sigmoid(o[k]) * tanh(c[k]) for k in range(hidden)])
        out.append(h)
    return out


def intra_modal(w, m: str, rows: list[np.ndarray], d: int) -> np.ndarray:
    if not rows:
        return np.zeros(d)
    forth = lstm(w, f"intra.{m}.context.forth", rows)
    back = lstm(w, f"intra.{m}.context.back", rows[::-1])[::-1]
    states = [np.concatenate(pair) for pair in zip(forth, back, strict=True)]
    scores = [
        (w[f"intra.{m}.pool.score.weight"] @ np.tanh(linear(w, f"intra.{m}.pool.inner", h)))[0]
        for h in states
    ]
    return sum((a * h for a, h in zip(softmax(scores), states, strict=True)), np.zeros(d))


def attention(w, name: str, target, source, heads: int) -> list[np.ndarray]:
    """(8), (9)"""
    size = len(target[0]) // heads
    out = []
    for t in target:
        parts = []
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            q = linear(w, f"{name}.query", t)[own]
            keys = [linear(w, f"{name}.key", s)[own] for s in source]
            values = [linear(w, f"{name}.value", s)[own] for s in source]
            weights = softmax([float(q @ k) / sqrt(size) for k in keys])
            parts.append(sum(a * v for a, v in zip(weights, values, strict=True)))
        out.append(linear(w, f"{name}.output", np.concatenate(parts)))
    return out


def layer_norm(w, name: str, x: np.ndarray) -> np.ndarray:
    """(10), with the learnt gain and shift of the layer"""
    normal = (x - x.mean()) / sqrt(((x - x.mean()) ** 2).mean() + 1e-5)
    return normal * w[f"{name}.weight"] + w.get(f"{name}.bias", 0.0)


def feed_forward(w, name: str, x: np.ndarray) -> np.ndarray:
    """(11)"""
    return linear(w, f"{name}.outer", np.maximum(0, linear(w, f"{name}.inner", x)))


def branch(w, name: str, target, source, heads: int) -> list[np.ndarray]:
    """LSMP (3)–(7), RSMP (12)–(16)"""
    crossed = attention(w, f"{name}.cross", target, source, heads)
    x = [layer_norm(w, f"{name}.norms.0", a + b) for a, b in zip(crossed, target, strict=True)]
    within = attention(w, f"{name}.within", x, x, heads)
    x = [layer_norm(w, f"{name}.norms.1", a + b) for a, b in zip(within, x, strict=True)]
    return [
        layer_norm(w, f"{name}.norms.2", feed_forward(w, f"{name}.feedforward", a) + a) for a in x
    ]


def fused(w, name: str, a, b, heads: int, d: int) -> np.ndarray:
    """(17)–(22)"""
    if not a or not b:
        return np.zeros(d)
    steps = max(len(a), len(b))
    both = np.zeros((steps, 2 * d))
    for step, row in enumerate(branch(w, f"{name}.left", a, b, heads)):
        both[step, :d] = row
    for step, row in enumerate(branch(w, f"{name}.right", b, a, heads)):
        both[step, d:] = row
    kernel, bias = w[f"{name}.convolution.weight"], w[f"{name}.convolution.bias"]
    half = kernel.shape[2] // 2
    total = np.zeros(d)
    for step in range(steps):
        total += bias
        for k in range(-half, half + 1):
            if 0 <= step + k < steps:
                total += kernel[:, :, k + half] @ both[step + k]
    return total / steps


def literal_smp(model: Smp, batch: Batch) -> np.ndarray:
    """(1)–(23) over the real steps alone."""
    w = {name: value.double().numpy() for name, value in model.state_dict().items()}
    d, heads = model.settings.width, model.settings.heads
    outputs = []
    for clip in range(len(batch)):
        x = {}
        for m, features in batch.features.items():
            rows = features[clip, : batch.lengths[m][clip]].double().numpy()
            x[m] = [linear(w, f"maps.{m}", row) for row in rows]
        v, a, t = (x[m] for m in ("visual", "audio", "text"))
        parts = [intra_modal(w, m, x[m], d) for m in x]
        for name, left, right in (
            ("visual_audio", v, a),
            ("visual_text", v, t),
            ("audio_text", a, t),
        ):
            parts.append(fused(w, f"fusions.{name}", placed(left), placed(right), heads, d))
        outputs.append(linear(w, "classifier", np.concatenate(parts)))
    return np.array(outputs)


@pytest.mark.parametrize(("outputs", "kernel"), [(1, 3), (3, 1), (3, 5)])
def test_smp_is_its_equations(outputs, kernel):
    model = some_network(outputs=outputs, kernel=kernel).eval()
    batch = some_batch()
    assert isinstance(model, Smp)
    expected = literal_smp(model, batch)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(model(batch).detach().numpy(), expected, atol=1e-5)


def test_positions_of_an_even_width_are_sines_and_cosines():
    table = positions(40, 10)
    assert table.shape == (40, 10)
    np.testing.assert_allclose(table[7, 4], sin(7 / 10_000 ** (4 / 10)), atol=1e-6)
    np.testing.assert_allclose(table[7, 5], cos(7 / 10_000 ** (4 / 10)), atol=1e-6)


def test_a_softmax_over_nothing_is_zero_and_has_a_gradient():
    scores = torch.randn(2, 4, requires_grad=True)
    mask = torch.tensor([[True, True, False, False], [False] * 4])
    weights = masked_softmax(scores, mask)
    assert weights[0].sum().item() == pytest.approx(1)
    assert weights[0, 2:].eq(0).all()
    assert weights[1].eq(0).all()
    weights.square().sum().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_bilstm_equals_torchs_own_on_packed_sequences():
    torch.manual_seed(0)
    ours, theirs = BiLstm(4, 3), torch.nn.LSTM(4, 3, batch_first=True, bidirectional=True)
    for name, value in ours.forth.named_parameters():
        theirs.get_parameter(name).data.copy_(value)
    for name, value in ours.back.named_parameters():
        theirs.get_parameter(f"{name}_reverse").data.copy_(value)
    x, lengths = torch.randn(3, STEPS, 4), torch.tensor([6, 1, 4])
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, True, enforce_sorted=False)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    for clip, length in enumerate(lengths):
        torch.testing.assert_close(ours(x, lengths)[clip, :length], expected[clip, :length])


@pytest.mark.parametrize("given", [("text",), ("visual", "audio"), ("visual", "text")])
def test_a_subset_of_modalities_is_a_setting_of_the_same_model(given):
    widths = {m: WIDTHS[m] for m in given}
    model = some_network(widths=widths)
    assert isinstance(model, Smp)
    assert model(some_batch()).shape == (5, 1)
    assert len(model.pairs) == (1 if len(given) == 2 else 0)
    assert model.classifier.in_features == 8 * (len(given) + len(model.pairs))


def test_fused_features_alone_are_a_setting_too():
    pair = {m: WIDTHS[m] for m in ("visual", "audio")}
    model = some_network(widths=pair, intra=False)
    assert isinstance(model, Smp)
    assert model.classifier.in_features == 8
    assert not any(name.startswith("intra") for name, _ in model.named_parameters())


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"heads": 3}, "multiple of heads"), ({"kernel": 2}, "odd"), ({"w": 1}, "w")],
)
def test_settings_that_do_not_fit_are_told_in_one_line(settings, told):
    with pytest.raises(UserError, match=told):
        some_network(**settings)


def test_an_unknown_model_is_told_with_those_there_are():
    with pytest.raises(UserError, match="smp"):
        build("spm", WIDTHS, 1, {})


class TestEveryModel(ModelContract):
    """A model is held to the contract by being a file among the models."""

    @pytest.fixture(autouse=True, params=names())
    def _model(self, request: pytest.FixtureRequest) -> None:
        self.name, self.settings = request.param, SMALL.get(request.param, {})


class TestScaler:
    def test_statistics_are_those_of_real_steps(self):
        random = np.random.default_rng(0)
        x = random.normal(3, 2, (300, STEPS, 4)).astype(np.float32)
        lengths = random.integers(0, STEPS + 1, 300)
        real = np.arange(STEPS) < lengths[:, None]
        x[~real] = 1e6
        x[real, 3] = 7
        batch = Batch({"text": torch.from_numpy(x)}, {"text": torch.from_numpy(lengths)})
        scaler = Scaler({"text": 4}).fit(batch)
        scaled = scaler(batch).features["text"].numpy()
        np.testing.assert_allclose(scaled[real][:, :3].mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(scaled[real][:, :3].std(0), 1, atol=1e-5)
        assert not scaled[real][:, 3].any()
        assert not scaled[~real].any()

    def test_what_a_clip_lacks_becomes_the_mean_and_leaves_the_statistics_alone(self):
        x = torch.tensor([[[1.0, 10.0]], [[3.0, 20.0]], [[5.0, float("nan")]]])
        batch = Batch({"audio": x}, {"audio": torch.ones(3, dtype=torch.int64)})
        scaler = Scaler({"audio": 2}).fit(batch)
        assert scaler.get_buffer("audio_mean").tolist() == [3, 15]
        assert scaler(batch).features["audio"][2, 0, 1].item() == 0

    def test_an_outlier_is_cut_off(self):
        scaler = Scaler({"text": 1})
        batch = Batch({"text": torch.full((1, 1, 1), 1e9)}, {"text": torch.ones(1)})
        assert scaler(batch).features["text"].item() == LIMIT


def test_prediction_gives_scores_or_probabilities():
    batch = some_batch()
    polarity = Polarity(name="label", scale=MOSI)
    scores = Predictor(Scaler(WIDTHS), some_network(outputs=1), SCORE).predict(batch)
    chances = Predictor(Scaler(WIDTHS), some_network(outputs=3), polarity).predict(batch)
    assert scores.shape == (5,)
    assert chances.shape == (5, 3)
    np.testing.assert_allclose(chances.sum(-1), 1, atol=1e-6)
