"""Scores of single modalities, each from its own vector: MLF-DNN, MTFN, MLMF and others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.data.samples import Samples
from model.experiments.compare import comparison
from model.layers.alone import Alone
from model.network import Network
from model.networks import names
from model.objectives.choose import objective_of
from model.registry import build, find
from model.runs.load import load_model
from model.runs.save import save_run
from model.step.threads import one_thread
from model.testing import WIDTHS, first_losses, some_batch
from model.training.loop import prepare, train
from model.training.settings import TrainSettings
from model.training.stackable import why_not
from pipeline.dataset.target import Target
from pipeline.errors import UserError
from tests.model.networks.literal import LITERAL as EARLIER
from tests.model.networks.literal import Rows, clips_of, embeddings, relu, weights_of
from tests.model.networks.literal_later import LITERAL as LATER
from tests.model.networks.literal_later import hidden_of_transformers, utterance
from tests.model.networks.test_smp import SMALL, linear
from tests.model.training.test_loop import some_samples

PLACES = {"text": [1], "audio": [2], "visual": [3]}
TARGETS = tuple(Target(name=name, range=(-3, 3)) for name in ("label", "T", "A", "V"))
WEIGHTS = {"T": 0.4, "A": 0.2, "V": 0.8}
Vectors = Callable[..., dict[str, np.ndarray]]


def late(w, settings, x: dict[str, Rows]) -> dict[str, np.ndarray]:
    return dict(zip(x, embeddings(w, settings, x), strict=True))


def utterances(w, settings, x: dict[str, Rows]) -> dict[str, np.ndarray]:
    return {m: utterance(w, m, rows, settings.recurrent) for m, rows in x.items()}


VECTORS: dict[str, Vectors] = {
    "lf_dnn": late,
    "tfn": late,
    "lmf": late,
    "late_transformer": hidden_of_transformers,
    "misa": utterances,
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def network(name: str) -> Network:
    torch.manual_seed(3)
    return build(name, WIDTHS, 4, SMALL[name], PLACES)


def literal(w, name: str, settings, x: dict[str, Rows]) -> list[float]:
    """All scores of a clip: that of all modalities, then those of text, sound and picture."""
    found = [float((EARLIER | LATER)[name](w, settings, x)[0])]
    for m in PLACES:
        y = VECTORS[name](w, settings, x)[m]
        for layer in (0, 2):
            y = relu(linear(w, f"alone.nets.{m}.{layer}", y))
        found.append(float(linear(w, f"alone.nets.{m}.4", y)[0]))
    return found


def labelled(clips: int = 60) -> Samples:
    """Clips whose modalities have scores of their own, some of them unknown."""
    made = some_samples(clips)
    others = made.labels[:, None] * [0.5, -0.5, 0.2]
    others[::7, 1] = np.nan
    return replace(made, labels=np.hstack([made.labels[:, None], others]), targets=TARGETS)


def settings(name: str = "lf_dnn", **given) -> TrainSettings:
    quick = {"network": SMALL[name], "epochs": 2, "batch": 16, "device": "cpu"}
    base = {"model": name, "own_vectors": True, "target_weights": WEIGHTS, **quick}
    return TrainSettings(**{**base, **given})


def test_the_models_that_have_vectors_are_here():
    assert sorted(VECTORS) == [n for n in names() if find(n).vectors is not Network.vectors]


@pytest.mark.parametrize("name", VECTORS)
class TestEveryModelWithVectors:
    def test_each_score_is_read_from_its_own_vector(self, name: str) -> None:
        model, batch = network(name).eval(), some_batch()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(2.0)
        w = weights_of(model)
        expected = [literal(w, name, model.settings, x) for x in clips_of(batch, model.widths)]
        assert np.ptp(np.array(expected), axis=0).min() > 0.01, "the clips differ"
        np.testing.assert_allclose(model(batch).detach().numpy(), expected, atol=1e-5)

    def test_the_loss_is_the_weighted_sum_of_all_errors(self, name: str) -> None:
        model, batch = network(name), some_batch()
        truth = torch.tensor([[2.0, 1, -1, 0]] * 4 + [[1.0, float("nan"), 2, -2]])
        loss = objective_of(TARGETS, weights=WEIGHTS).loss(model(batch), truth).item()
        w = weights_of(model)
        said = np.array([literal(w, name, model.settings, x) for x in clips_of(batch, WIDTHS)])
        errors = np.nanmean(np.abs(said - truth.numpy()), axis=0)
        assert loss == pytest.approx(errors @ [1.0, *WEIGHTS.values()], abs=1e-4)

    def test_every_parameter_learns(self, name: str) -> None:
        model = network(name)
        first_losses(model, some_batch()).backward()
        for parameter, value in model.named_parameters():
            assert value.grad is not None, parameter
            assert value.grad.abs().max() > 0, parameter

    def test_a_run_folder_rebuilds_it(self, name: str, tmp_path: Path) -> None:
        samples, own = labelled(), settings(name)
        trained = train(samples, own)
        run = save_run(trained, samples, own, tmp_path)
        test = samples.split("test").batch
        said = load_model(run).predict(test)
        np.testing.assert_array_equal(said, trained.predictor.predict(test))
        deaf = replace(test, lengths={**test.lengths, "audio": test.lengths["audio"] * 0})
        np.testing.assert_array_equal(load_model(run).predict(deaf)[:, 1], said[:, 1])

    def test_seeds_can_train_as_one_network(self, name: str) -> None:
        samples, own = labelled(), settings(name)
        assert why_not(prepare(samples, own), samples, own) == ""


def test_a_table_calls_them_as_the_literature_does():
    given = {"own_vectors": True}
    entries = comparison(labelled(), ["lf_dnn", "tfn", "lmf", "misa"], None, given).entries
    assert [entry.label for entry in entries] == ["MLF-DNN", "MTFN", "MLMF", "MISA, own vectors"]


class TestRefusals:
    def test_a_model_without_such_vectors_is_told_with_those_that_have_them(self) -> None:
        with pytest.raises(UserError, match=r"smp has no vector .*; late_transformer, lf_dnn, lmf"):
            train(labelled(), settings("smp"))

    def test_scores_of_no_single_modality_are_told(self) -> None:
        own = settings(target_weights={})
        with pytest.raises(UserError, match=r"own_vectors: trained is label; .*--target all"):
            train(some_samples(), own)

    def test_a_modality_without_features_is_told(self) -> None:
        samples = labelled()
        batch = samples.batch
        heard = {m: x for m, x in batch.features.items() if m != "visual"}
        lengths = {m: batch.lengths[m] for m in heard}
        blind = replace(samples, batch=replace(batch, features=heard, lengths=lengths))
        with pytest.raises(UserError, match="a target is of visual alone, of which there are no"):
            train(blind, settings())

    @pytest.mark.parametrize("places", [{"text": [4]}, {"text": [1], "audio": [1]}])
    def test_places_that_are_none_are_no_network(self, places: dict[str, list[int]]) -> None:
        with pytest.raises(ValueError, match="of 4"):
            Alone(WIDTHS, places, 4)
