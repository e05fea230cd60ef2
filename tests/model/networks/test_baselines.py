"""Each baseline against its equations spelled out: one clip, one step, one head at a time."""

from __future__ import annotations

from collections.abc import Iterator

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
from model.training.presets import preset
from model.training.settings import TrainSettings
from pipeline.errors import UserError
from tests.model.networks import literal, literal_later
from tests.model.networks.test_smp import SMALL, some_network
from tests.model.training.test_loop import some_samples

BASELINES = [name for name in names() if name != "smp"]
SUBSETS = [("text",), ("audio",), ("visual", "audio"), ("audio", "text"), ("visual", "text")]
LITERAL = literal.LITERAL | literal_later.LITERAL
GAIN = {"almt": 1.5, "late_transformer": 1.0, "misa": 1.0, "mult": 1.0, "tfr_net": 2.0}
"""What fresh weights are multiplied by, else 2.5: every term weighs well above the tolerance."""


DROPPING = {"almt": {"dropout": 0.1}, "self_mm": {"fusion_dropout": 0.1}}
"""Settings with dropout of those that have none by default."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def assert_is_its_equations(name: str, outputs: int, widths, **settings) -> None:
    model, batch = some_network(name, outputs, widths, **settings).eval(), some_batch()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(GAIN.get(name, 2.5))
    w = literal.weights_of(model)
    expected = [LITERAL[name](w, model.settings, x) for x in literal.clips_of(batch, model.widths)]
    assert np.ptp(np.array(expected), axis=0).max() > 0.1, "the clips differ"
    y = model(batch).detach().numpy()
    np.testing.assert_allclose(y, np.array(expected), atol=1e-5)


def test_every_baseline_is_here():
    assert BASELINES == sorted(LITERAL) == sorted(SMALL.keys() - {"smp"})


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
        model, batch = build(name, WIDTHS, 1, DROPPING.get(name, {})), some_batch()
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


@pytest.mark.parametrize("name", ["almt", "lmf", "misa", "self_mm", "tfr_net"])
def test_a_model_has_as_many_parameters_as_it_says(name):
    widths = {"visual": 20, "audio": 5, "text": 768}
    model = build(name, widths, 1, preset(name, "mosi").settings.network)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert f"{count:,} parameters" in " ".join((type(model).__doc__ or "").split())
