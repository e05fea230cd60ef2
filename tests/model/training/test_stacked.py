"""Seeds as one network: the plain loop's numbers, kernels that don't grow with them, no waits."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from model.data.batch import real_steps
from model.layers.attention import mean_pool
from model.network import Network
from model.networks import names
from model.registry import find
from model.step.stack import Stack
from model.step.threads import one_thread
from model.training import predictor, seeds
from model.training.loop import prepare, step_loss, train
from model.training.predictor import Predictor
from model.training.seeds import train_seeds
from model.training.stackable import why_not
from model.training.stacked import begun, train_stacked
from pipeline.system import resources
from tests.model.networks.test_smp import SMALL
from tests.model.training.test_loop import QUICK, some_samples
from tests.model.training.test_seeds import with_seed

SEEDS = [3, 0, 7, 1, 2]
WAITS = {"_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "_to_copy"}
# What one mask costs, and what costs nothing.
DRAWS = {"random_", "bernoulli_", "randint", "lt", "mul_", "empty", "view", "slice", "detach"}


def settings_of(name: str, **other: Any):
    """Small, with dropout wherever the model has it, and batches that don't come out even."""
    network = {key: value for key, value in SMALL[name].items() if "dropout" not in key}
    mine = {"model": name, "network": network, "epochs": 1, "lr": 1e-3, "feature_dropout": 0.1}
    return QUICK.model_copy(update={**mine, "weight_decay": 1e-4, **other})


def of_interest(trained):
    return trained.curve, trained.best_epoch, trained.predictions


@pytest.mark.parametrize(
    ("name", "task"), [*((name, "regression") for name in names()), ("lf_dnn", "classification")]
)
def test_five_seeds_as_one_network_are_five_trainings_with_dropout_to_1e_6(name, task):
    settings, samples = settings_of(name, task=task), some_samples(62)
    stacked = train_seeds(samples, settings, SEEDS, of_interest, stacked=True)
    apart = {}
    for seed, (curve, best_epoch, predictions) in zip(SEEDS, stacked, strict=True):
        alone = train(samples, with_seed(settings, seed))
        assert best_epoch == alone.best_epoch
        for key, value in alone.curve[0].items():
            assert curve[0][key] == pytest.approx(value, abs=1e-5, nan_ok=True), key
        for split, expected in alone.predictions.items():
            np.testing.assert_allclose(predictions[split], expected, rtol=0, atol=1e-6)
        apart[seed] = alone.predictions["test"]
    assert np.abs(apart[3] - apart[0]).max() > 1e-3, "seeds make no difference"


def test_each_seed_stops_by_its_own_validation_and_keeps_its_best_weights():
    settings = settings_of("lf_dnn", epochs=12, lr=2e-2, patience=1)
    found = train_seeds(some_samples(), settings, SEEDS, of_interest, stacked=True)
    assert len({len(curve) for curve, *_ in found}) > 1
    for seed, (curve, best_epoch, predictions) in zip(SEEDS, found, strict=True):
        alone = train(some_samples(), with_seed(settings, seed))
        assert (len(curve), best_epoch) == (len(alone.curve), alone.best_epoch)
        np.testing.assert_allclose(predictions["test"], alone.predictions["test"], atol=1e-3)


def test_every_epoch_of_every_seed_is_told_and_what_is_kept_comes_in_their_order():
    told, kept = [], []
    train_seeds(
        some_samples(), settings_of("lf_dnn", epochs=3), SEEDS, lambda trained: len(trained.curve),
        lambda seed, row: told.append((seed, row["epoch"])),
        lambda seed, epochs: kept.append((seed, epochs)), stacked=True,
    )  # fmt: skip
    assert kept == [(seed, 3) for seed in SEEDS]
    assert told == [(seed, epoch) for epoch in (1, 2, 3) for seed in SEEDS]


def test_predictions_are_those_of_each_network_though_none_makes_its_own(monkeypatch):
    def refused(self, batch):
        raise AssertionError("one seed after another")

    with monkeypatch.context() as patched:
        patched.setattr(predictor, "CHUNK", 7)
        patched.setattr(resources, "cores", lambda: 4)
        patched.setattr(Predictor, "predict", refused)
        kept = lambda trained: (trained.predictor, trained.predictions)  # noqa: E731
        found = train_seeds(some_samples(), settings_of("smp"), SEEDS, kept, stacked=True)
    for own, predictions in found:
        assert set(predictions) == {"train", "valid", "test"}
        for split, values in predictions.items():
            expected = own.predict(some_samples().split(split).batch)
            np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6)


def test_torchs_own_generator_is_left_as_it_was():
    before = torch.get_rng_state()
    train_seeds(some_samples(), settings_of("mfn"), SEEDS, of_interest, stacked=True)
    assert torch.equal(torch.get_rng_state(), before)


class Watched(TorchDispatchMode):
    """Counts what torch computes, by name, and keeps the shapes of all of it in order."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.shapes: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name, out = func._schema.name.split("::")[1], func(*args, **(kwargs or {}))
        self.calls[name] += 1
        self.shapes.append(
            (name, *(tuple(x.shape) for x in tree_leaves(out) if torch.is_tensor(x)))
        )
        return out


@one_thread()
def calls_of_a_step(name: str, networks: int) -> Counter[str]:
    settings, samples = settings_of(name), some_samples()
    prepared = prepare(samples, settings)
    every = [with_seed(settings, seed) for seed in range(networks)]
    stack = Stack(*begun(prepared, samples, every))
    optimizer = stack.optimizer(settings.lr, settings.weight_decay)
    rows = torch.zeros(networks, 8, dtype=torch.int64)
    stack.each(partial(step_loss, prepared, settings), rows)  # makes what is kept, as positions are
    with Watched() as watched:
        stack.each(partial(step_loss, prepared, settings), rows).sum().backward()
        stack.clip_gradients(settings.clip_norm)
        optimizer.step()
    return watched.calls


STACKED = [name for name in names() if find(name).begin is Network.begin]


@pytest.mark.parametrize("name", STACKED)
def test_every_other_model_can_be_stacked_also_where_batches_are_filled_up(name):
    settings, samples = settings_of(name), some_samples()
    assert why_not(prepare(samples, settings), samples, settings) == ""


@pytest.mark.parametrize("name", STACKED)
@one_thread()
def test_a_step_has_the_same_shapes_whatever_and_how_many_its_clips_and_writes_where_it_lay(name):
    settings, samples = settings_of(name), some_samples()
    prepared = prepare(samples, settings)
    stack = Stack(*begun(prepared, samples, [with_seed(settings, seed) for seed in (0, 1)]))
    optimizer = stack.optimizer(settings.lr, settings.weight_decay)
    by_length = torch.stack([*prepared.inputs.lengths.values()]).sum(0).argsort()
    kept = [stack.weights, *(x for state in optimizer._state for x in state), *stack.fixed.values()]
    places, steps = [x.data_ptr() for x in kept], []
    short, long = by_length[:8].expand(2, -1), by_length[-8:].expand(2, -1)
    for rows, clips in ((short, 8), (short, 8), (long, 3)):  # the first makes what is kept
        stack.weights.grad = None
        loss_of = partial(step_loss, prepared, settings, are_clips=torch.arange(8) < clips)
        with Watched() as watched:
            losses = stack.each(loss_of, rows)
            losses.sum().backward()
            stack.clip_gradients(settings.clip_norm)
            optimizer.step()
        steps.append(watched.shapes)
    assert steps[1] == steps[2]
    assert [x.data_ptr() for x in kept] == places


@pytest.mark.parametrize("name", STACKED)
def test_a_step_never_waits_and_has_as_many_kernels_for_five_networks_as_for_two(name):
    two, five = (calls_of_a_step(name, networks) for networks in (2, 5))
    assert two["bmm"] > 5
    assert not WAITS & set(five)
    for calls in (two, five):
        for name in DRAWS:
            calls.pop(name, None)
    assert five == two


def test_a_planted_wait_would_be_seen():
    with Watched() as watched:
        torch.ones(1).item()
    assert WAITS & set(watched.calls)


class Means(Network):
    """W of each modality's mean, side by side."""

    def __init__(self, widths, outputs, settings):
        super().__init__(widths, outputs, settings)
        self.classifier = nn.Linear(sum(self.widths.values()), outputs)

    def forward(self, batch):
        steps = {m: real_steps(batch.lengths[m], x.shape[1]) for m, x in batch.features.items()}
        means = [mean_pool(batch.features[m], steps[m]) for m in self.widths]
        return self.classifier(self.dropped(torch.cat(means, dim=-1)))

    def dropped(self, x):
        return x


class Waits(Means):
    def dropped(self, x):
        return x if x.abs().max() > 0 else x + 1


class DrawsItself(Means):
    def dropped(self, x):
        return F.dropout(x, 0.5, self.training)


class Counts(Means):
    def __init__(self, widths, outputs, settings):
        super().__init__(widths, outputs, settings)
        self.register_buffer("seen", torch.zeros(()))

    def dropped(self, x):
        self.get_buffer("seen").add_(1)
        return x


class Begins(Means):
    def begin(self, epoch, clips):
        self.epoch = epoch


class CountsAll(Means):
    """The mean of whatever it has over all rows, also those that are no clips."""

    def loss(self, batch, targets, criterion, rows):
        return super().loss(batch, targets, criterion, rows) + self(batch).square().mean()


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (CountsAll, "another where a batch is filled up"),
        (Waits, "data-dependent control flow"),
        (DrawsItself, "draws random numbers other than"),
        (Counts, "changes a buffer"),
        (Begins, "begins each epoch"),
    ],
)
def test_a_model_that_cannot_be_stacked_trains_one_seed_at_a_time_and_says_why(
    model, why, monkeypatch
):
    monkeypatch.setattr("model.registry.find", lambda name: model)
    settings = QUICK.model_copy(update={"network": {}})
    with pytest.warns(UserWarning, match=why):
        found = train_seeds(some_samples(), settings, SEEDS[:2], of_interest, stacked=True)
    for seed, (curve, *_) in zip(SEEDS, found, strict=False):
        assert curve == train(some_samples(), with_seed(settings, seed)).curve


def test_where_memory_runs_out_for_all_seeds_half_of_them_go_first(monkeypatch):
    def little(prepared, samples, trainings):
        sizes.append(len(trainings))
        if len(trainings) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return train_stacked(prepared, samples, trainings)

    sizes: list[int] = []
    monkeypatch.setattr(seeds, "train_stacked", little)
    found = train_seeds(some_samples(), QUICK, SEEDS, of_interest, stacked=True)
    assert sizes == [5, 2, 3, 1, 2]
    assert (
        found[4][0] == train_seeds(some_samples(), QUICK, [2, 1], of_interest, stacked=True)[0][0]
    )
