"""Trainings on a device: seeds as one network against the plain loop, bits, the CPU's numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.gpu_device import Device
from benchmarks.made_samples import made_samples
from model.data.samples import Samples
from model.networks import names
from model.step.threads import one_thread
from model.training.loop import Trained, prepare, train, train_prepared
from model.training.seeds import train_seeds
from model.training.settings import TrainSettings
from model.training.side_by_side import Training
from model.training.stacked import train_stacked

SEEDS = (1, 5, 20)
STILL = {"dropout": 0.0}


def training(where: Device) -> Iterator[str]:
    """Each figure as soon as it is there."""
    usual = TrainSettings(device=where.device, epochs=where.few(1, 2), batch=where.few(512, 64))
    samples = made_samples([4]) if where.quick else made_samples()
    yield from _speed(samples, usual, (1, 2) if where.quick else SEEDS)
    once = usual.model_copy(update={"epochs": 1})
    steps = -(-len(samples.split("train").ids) // once.batch)
    waits = where.waits(lambda: train_seeds(samples, once, [0, 1], _scores, stacked=True))
    yield f"of an epoch of {steps} steps and what is around it {waits}"
    still = once.model_copy(update={"network": STILL})
    here = train(samples, still.model_copy(update={"device": "cpu"}))
    there = train_seeds(samples, still, [0, 1], _scores, stacked=True)
    off = np.abs(here.predictions["test"] - there[0]).max()
    yield f"smp, stacked and without dropout, off the CPU's by {off:.1g} after an epoch"
    for model in names()[:1] if where.quick else names():
        own = once.model_copy(update={"model": model, "batch": 512})  # three steps
        first, second = (train_seeds(samples, own, [0, 1], _scores, stacked=True) for _ in "ab")
        yield f"{model}, two seeds stacked: the same bits twice: {np.array_equal(first, second)}"


def _speed(samples: Samples, settings: TrainSettings, counts: Sequence[int]) -> Iterator[str]:
    """An epoch of the plain loop, and one of many seeds stacked."""
    prepared = prepare(samples, settings)
    eager_s = _epoch_s(
        settings, lambda own: train_prepared(prepared, samples, own, lambda row: None)
    )
    yield f"plain loop: {1e3 * eager_s:.0f} ms an epoch of SMP"
    for count in counts:

        def stacked(own: TrainSettings, count: int = count) -> None:
            each = (own.model_copy(update={"seed": seed}) for seed in range(count))
            train_stacked(prepared, samples, [Training(one) for one in each])

        epoch_s = _epoch_s(settings, stacked)
        yield (
            f"{count} seeds stacked: {1e3 * epoch_s:.0f} ms an epoch of all, "
            f"{count * eager_s / epoch_s:.2f} times as fast as the plain loop"
        )


@one_thread()  # as `train_seeds` has it
def _epoch_s(settings: TrainSettings, run: Callable[[TrainSettings], object]) -> float:
    """What twice as many epochs take more, an epoch: stacked ones are told late."""
    took = []
    for epochs in (settings.epochs, 2 * settings.epochs):
        began = time.perf_counter()
        run(settings.model_copy(update={"epochs": epochs}))
        took.append(time.perf_counter() - began)
    return (took[1] - took[0]) / settings.epochs


def _scores(trained: Trained) -> np.ndarray:
    return trained.predictions["test"]
