"""Several seeds at once against one after the other."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import numpy as np
import pytest
import torch
from tblib import pickling_support

from model.networks import names
from model.training import seeds
from model.training.loop import train, train_prepared
from model.training.memory import OutOfMemoryError
from model.training.seeds import train_seeds
from model.training.side_by_side import Enough, Training
from pipeline.errors import UserError
from pipeline.system import resources
from tests.model.networks.test_smp import SMALL
from tests.model.training.test_loop import QUICK, some_samples

SEEDS = [3, 0, 7]


def with_seed(settings, seed):
    return settings.model_copy(update={"seed": seed})


def everything(trained):
    rest = trained.curve, trained.best_epoch, trained.metrics, trained.predictions
    return (*rest, trained.predictor.state_dict())


def nothing(trained):
    return None


def assert_equal(together, alone):
    *rest, predictions, state = together
    assert rest == [alone.curve, alone.best_epoch, alone.metrics]
    for split, expected in alone.predictions.items():
        assert np.array_equal(predictions[split], expected), split
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
    together = train_seeds(samples, settings, SEEDS, everything)
    assert len(together) == len(SEEDS)
    for seed, kept in zip(SEEDS, together, strict=True):
        assert_equal(kept, train(samples, with_seed(settings, seed)))


def test_each_seed_stops_by_its_own_validation(manner):
    settings = QUICK.model_copy(update={"epochs": 60, "lr": 2e-2, "patience": 2})
    together = train_seeds(some_samples(), settings, SEEDS, everything)
    assert len({len(curve) for curve, *_ in together}) > 1
    for seed, kept in zip(SEEDS, together, strict=True):
        assert_equal(kept, train(some_samples(), with_seed(settings, seed)))


def test_every_epoch_of_every_seed_is_told(manner):
    told = []
    on_epoch = lambda seed, row: told.append((seed, row["epoch"]))  # noqa: E731
    train_seeds(some_samples(), QUICK, SEEDS, nothing, on_epoch)
    assert sorted(told) == [(seed, epoch) for seed in sorted(SEEDS) for epoch in (1, 2, 3, 4)]


def test_the_error_of_a_seed_is_that_of_all(manner):
    with pytest.raises(UserError, match="the loss is not finite"):
        train_seeds(some_samples(), QUICK.model_copy(update={"lr": 1e30}), SEEDS, nothing)


@dataclass
class OneOfMany(Training[str]):
    said: list[Any]
    stop_at: int = 99

    def told(self, row):
        if row["epoch"] == self.stop_at:
            raise Enough

    def ended(self, kept):
        self.said.append((self.settings.seed, kept))

    def failed(self, error):
        self.said.append((self.settings.seed, str(error)))


def test_trainings_are_asked_for_one_by_one_and_stop_or_fail_alone(manner):
    said: list[Any] = []

    def trainings():
        for seed, (changed, stop_at) in enumerate(
            [({}, 99), ({"lr": 1e30}, 99), ({}, 2), ({}, 99)]
        ):
            asked.append(len(said))
            yield OneOfMany(with_seed(QUICK, seed).model_copy(update=changed), said, stop_at)

    asked: list[int] = []
    seeds.train_all(some_samples(), QUICK, trainings(), lambda trained: len(trained.curve))
    assert sorted(said)[0::2] == [(0, 4), (3, 4)]
    assert "epoch 1: the loss is not finite" in sorted(said)[1][1]
    assert asked[-1] > 0, "the last was asked for when others had ended"


def test_a_child_that_is_killed_is_told(monkeypatch):
    monkeypatch.setattr(resources, "cores", lambda: 2)

    def killed(prepared, samples, settings, on_epoch):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(seeds, "train_prepared", killed)
    told = r"out of memory \(the process of seed 3 was killed.*try --batch"
    with pytest.raises(OutOfMemoryError, match=told):
        train_seeds(some_samples(), QUICK, [3, 3], nothing)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("could not execute a primitive"),
        MemoryError(),
    ],
)
def test_out_of_memory_is_one_line_that_says_what_to_lower(error, manner, monkeypatch):
    def fails(*given: object) -> None:
        raise error

    monkeypatch.setattr(seeds, "train_prepared", fails)
    told = rf"^out of memory: training 'smp' .* of {QUICK.batch} .*--batch {QUICK.batch // 2},"
    with pytest.raises(OutOfMemoryError, match=told):
        train_seeds(some_samples(), QUICK, [0, 1], nothing)


def test_what_a_child_says_arrives_where_dask_has_errors_pickled_with_their_tracebacks():
    pickling_support.install(OutOfMemoryError)
    error = OutOfMemoryError.of(QUICK)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_no_more_children_run_at_once_than_there_are_cores(manner, tmp_path, monkeypatch):
    def counted(*given):
        (own := tmp_path / str(given[2].seed)).touch()
        counts.append(len(list(tmp_path.iterdir())))
        trained = train_prepared(*given)
        own.unlink()
        return trained

    counts: list[int] = []
    monkeypatch.setattr(seeds, "train_prepared", counted)
    found = train_seeds(some_samples(), QUICK, range(5), lambda trained: counts[-1])
    assert max(found) <= resources.cores()


FOREVER = """
import time
from model.training import seeds
from pipeline.system import resources
from tests.model.training.test_loop import QUICK, some_samples

def waits(prepared, samples, settings, on_epoch):
    print(settings.seed, flush=True)
    time.sleep(10**6)  # as for a lock whose holder is no more

resources.cores = lambda: 2
seeds.train_prepared = waits
seeds.train_seeds(some_samples(), QUICK, [0, 1], str)
"""


def test_children_do_not_outlive_a_parent_that_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", FOREVER], stdout=PIPE, stderr=DEVNULL)
    assert parent.stdout is not None
    assert {parent.stdout.readline() for _ in range(2)} == {b"0\n", b"1\n"}, "both are at work"
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while alive := [pid for pid in children if _is_running(pid)]:
        if time.monotonic() > deadline:
            for pid in alive:
                os.kill(int(pid), signal.SIGKILL)
            pytest.fail(f"{len(alive)} of {len(children)} children go on")
        time.sleep(0.05)


def _is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
