"""Several seeds at once against one after the other."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch

from model.networks import names
from model.training import seeds
from model.training.loop import train
from model.training.seeds import train_seeds
from pipeline.errors import UserError
from pipeline.system import resources
from tests.model.networks.test_smp import SMALL
from tests.model.training.test_loop import QUICK, some_samples

SEEDS = [3, 0, 7]


def with_seed(settings, seed):
    return settings.model_copy(update={"seed": seed})


def assert_equal(together, alone):
    assert together.curve == alone.curve
    assert together.best_epoch == alone.best_epoch
    assert together.metrics == alone.metrics
    for split, expected in alone.predictions.items():
        assert np.array_equal(together.predictions[split], expected), split
    state = together.predictor.state_dict()
    for key, value in alone.predictor.state_dict().items():
        assert torch.equal(state[key], value), key


@pytest.fixture(params=["forks", "in turn"])
def manner(request, monkeypatch):
    cores = 2 if request.param == "forks" else 1
    monkeypatch.setattr(resources, "cores", lambda: cores)


@pytest.mark.parametrize("name", names())
def test_seeds_together_are_the_same_bits_as_alone(name, manner):
    settings = QUICK.model_copy(update={"model": name, "network": SMALL[name], "epochs": 2})
    samples = some_samples()
    together = train_seeds(samples, settings, SEEDS)
    assert len(together) == len(SEEDS)
    for seed, trained in zip(SEEDS, together, strict=True):
        assert_equal(trained, train(samples, with_seed(settings, seed)))


def test_each_seed_stops_by_its_own_validation(manner):
    settings = QUICK.model_copy(update={"epochs": 60, "lr": 2e-2, "patience": 2})
    together = train_seeds(some_samples(), settings, SEEDS)
    assert len({len(trained.curve) for trained in together}) > 1
    for seed, trained in zip(SEEDS, together, strict=True):
        assert_equal(trained, train(some_samples(), with_seed(settings, seed)))


def test_every_epoch_of_every_seed_is_told(manner):
    told = []
    train_seeds(some_samples(), QUICK, SEEDS, lambda seed, row: told.append((seed, row["epoch"])))
    assert sorted(told) == [(seed, epoch) for seed in sorted(SEEDS) for epoch in (1, 2, 3, 4)]


def test_the_error_of_a_seed_is_that_of_all(manner):
    with pytest.raises(UserError, match="the loss is not finite"):
        train_seeds(some_samples(), QUICK.model_copy(update={"lr": 1e30}), SEEDS)


def test_a_child_that_is_killed_is_told(monkeypatch):
    monkeypatch.setattr(resources, "cores", lambda: 2)

    def killed(prepared, samples, settings, on_epoch):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(seeds, "train_prepared", killed)
    with pytest.raises(RuntimeError, match="the process of seed 3 died"):
        train_seeds(some_samples(), QUICK, [3, 3])
