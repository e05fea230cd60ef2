"""Each baseline against its equations spelled out: one clip, one step, one head at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import floor, tanh

import numpy as np
import pytest
import torch

import model as models
from model.data.batch import Batch
from model.layers.align import align
from model.layers.recurrent import CellLstm, last_step
from model.networks import names
from model.objectives.prediction import POLARITIES
from model.registry import build
from model.runs.save import save_run
from model.step.threads import one_thread
from model.testing import WIDTHS, some_batch
from model.training.loop import train
from model.training.settings import TrainSettings
from pipeline.errors import UserError
from tests.model.networks.test_smp import (
    SMALL,
    attention,
    feed_forward,
    layer_norm,
    linear,
    lstm,
    placed,
    sigmoid,
    softmax,
    some_network,
)
from tests.model.training.test_loop import some_samples

BASELINES = [name for name in names() if name != "smp"]
SUBSETS = [("text",), ("audio",), ("visual", "audio"), ("audio", "text"), ("visual", "text")]
GAIN = {"ef_lstm": 2.5, "lf_dnn": 2.5, "mfn": 2.5, "mult": 1.0, "tfn": 2.5}
"""What the fresh weights are multiplied by, so that every term weighs well above the tolerance."""

Rows = list[np.ndarray]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


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


def assert_is_its_equations(name: str, outputs: int, widths, **settings) -> None:
    model, batch = some_network(name, outputs, widths, **settings).eval(), some_batch()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(GAIN[name])
    w = weights_of(model)
    expected = [LITERAL[name](w, model.settings, x) for x in clips_of(batch, model.widths)]
    assert np.ptp(np.array(expected), axis=0).max() > 0.1, "the clips differ"
    y = model(batch).detach().numpy()
    np.testing.assert_allclose(y, np.array(expected), atol=1e-5)


def test_every_baseline_is_here():
    assert BASELINES == list(LITERAL) == sorted(SMALL.keys() - {"smp"})


@pytest.mark.parametrize("name", BASELINES)
class TestEveryBaseline:
    @pytest.mark.parametrize("outputs", [1, 3])
    def test_it_is_its_equations(self, name, outputs):
        assert_is_its_equations(name, outputs, WIDTHS)

    @pytest.mark.parametrize("given", SUBSETS, ids="+".join)
    def test_it_is_its_equations_for_a_subset_of_modalities(self, name, given):
        assert_is_its_equations(name, 1, {m: WIDTHS[m] for m in given})

    def test_dropout_is_for_training_only(self, name):
        torch.manual_seed(0)
        model, batch = build(name, WIDTHS, 1, {}), some_batch()
        assert not torch.equal(model(batch), model(batch))
        model.eval()
        assert torch.equal(model(batch), model(batch))

    @pytest.mark.parametrize("task", ["regression", "classification"])
    def test_a_training_repeats_itself_and_its_run_folder_rebuilds_it(self, name, task, tmp_path):
        kept = {key: value for key, value in SMALL[name].items() if "dropout" not in key}
        settings = TrainSettings(
            model=name, network=kept, task=task, epochs=2, batch=16, device="cpu"
        )
        samples = some_samples(40)
        once, again = train(samples, settings), train(samples, settings)
        folder = save_run(once, samples, settings, tmp_path)
        reloaded = models.load_model(folder).predict(samples.split("test").batch)
        assert once.curve == again.curve
        assert np.array_equal(once.predictions["test"], again.predictions["test"])
        assert np.array_equal(once.predictions["test"], reloaded)
        assert reloaded.shape == ((8,) if task == "regression" else (8, len(POLARITIES)))


def test_tfn_is_not_squashed_into_a_range():
    model = some_network("tfn").eval()
    last = model.get_submodule("classifier.5")
    assert isinstance(last, torch.nn.Linear)
    last.bias.data.fill_(40.0)
    assert model(some_batch()).min() > 30


def test_mult_hears_the_order_of_steps_by_their_positions_alone():
    kernel = {"visual": 1, "audio": 1, "text": 1}
    model = some_network("mult", widths={"text": 3}, kernel=kernel).eval()
    batch = some_batch()
    turned = batch.features["text"].clone()
    turned[0, :3] = turned[0, :3].flip(0)  # of 4 real steps: the last one stays
    y = model(Batch({"text": turned}, batch.lengths))
    assert (y - model(batch))[0].abs().max() > 1e-5


def test_heads_that_do_not_divide_the_width_are_told():
    with pytest.raises(UserError, match="width 50 is not a multiple of heads 7"):
        build("mult", WIDTHS, 1, {"heads": 7})


def test_a_modality_is_stretched_over_the_time_of_the_longest():
    steps = torch.arange(1.0, 9.0)[None, :, None]
    features = {"visual": steps, "audio": steps * 10, "text": steps * 100}
    lengths = {"visual": torch.tensor([7]), "audio": torch.tensor([3]), "text": torch.tensor([0])}
    features["text"][:] = float("nan")
    aligned, longest = align(Batch(features, lengths), features)
    assert longest.tolist() == [7]
    assert aligned["visual"][0, :7, 0].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert aligned["audio"][0, :7, 0].tolist() == [10, 10, 20, 20, 20, 30, 30]
    assert not aligned["text"].any()
    assert align(Batch(features, lengths), ["audio"])[1].tolist() == [3]


def test_the_last_step_is_the_last_real_one():
    x = torch.tensor([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [float("nan")]], [[7.0]] * 3])
    assert last_step(x, torch.tensor([3, 2, 0])).squeeze(1).tolist() == [3, 5, 0]


def test_an_lstm_that_tells_its_cells_equals_torchs_own():
    torch.manual_seed(0)
    ours, theirs = CellLstm(4, 3), torch.nn.LSTM(4, 3, batch_first=True)
    for name, value in ours.cell.named_parameters():
        theirs.get_parameter(f"{name}_l0").data.copy_(value)
    x = torch.randn(2, 6, 4)
    states, cells = ours(x)
    expected, (_, last_cell) = theirs(x)
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(cells[:, -1], last_cell[0])
