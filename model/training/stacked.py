"""All seeds of a training as one network with a leading axis, for an accelerator."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model.data.batch import Batch
from model.data.samples import Samples, Split
from model.network import Network
from model.step.stack import Stack
from model.training.late import Late, Record
from model.training.loop import (
    Prepared,
    Trained,
    judged,
    predictor_of,
    splits_of,
    step_loss,
    untrained,
)
from model.training.predictor import chunks, predicted
from model.training.settings import TrainSettings
from model.training.side_by_side import Training
from pipeline.system.device import uploaded


def train_stacked(
    prepared: Prepared, samples: Samples, trainings: Sequence[Training[Any]]
) -> list[Trained]:
    """As `train_prepared` of each, whose settings differ in their seeds alone: with the same draws,
    to numbers that differ by rounding.

    The host never waits for the device within an epoch, and reads what one gave while the next one
    is under way; so the device does one epoch too many where the last seed stops early.
    """
    started = time.perf_counter()
    settings = [training.settings for training in trainings]
    networks, generators = begun(prepared, samples, settings)
    stack = Stack(networks, generators)
    records = [Record(prepared, one.settings, one.told) for one in trainings]
    stack.weights.data = _fit(stack, prepared, settings, records)
    stack.unstack(networks)
    splits = splits_of(samples)
    predictions = _predictions(stack, prepared, splits)
    share = (time.perf_counter() - started) / len(trainings)
    return [
        judged(predictor_of(network, prepared), record.curve, own, splits, share)
        for network, record, own in zip(networks, records, predictions, strict=True)
    ]


def begun(
    prepared: Prepared, samples: Samples, settings: Sequence[TrainSettings]
) -> tuple[list[Network], list[torch.Generator]]:
    """Fresh networks, and generators in the states that torch's own has after each one alone."""
    device = prepared.targets.device
    networks, generators = [], []
    with torch.random.fork_rng([]):
        for one in settings:
            torch.default_generator.manual_seed(one.seed)
            networks.append(untrained(prepared, samples, one).to(device))
            on_cpu = torch.default_generator.clone_state()
            own = on_cpu if device.type == "cpu" else torch.Generator(device).manual_seed(one.seed)
            generators.append(own)
    return networks, generators


def _fit(
    stack: Stack, prepared: Prepared, every: Sequence[TrainSettings], records: Sequence[Record]
) -> Tensor:
    """The loop of `train_prepared` for all; gives each network's best weights."""
    settings, device = every[0], prepared.targets.device
    batches = _Batches(len(prepared.inputs), settings.batch, device)
    optimizer = stack.optimizer(settings.lr, settings.weight_decay)
    orders = [torch.Generator().manual_seed(one.seed) for one in every]
    best, late = _Best(stack.weights.detach(), settings.patience), None

    for epoch in range(1, settings.epochs + 1):
        stack.train()
        total = torch.zeros(len(every), device=device)
        for rows, are_clips, count in batches.of_an_epoch(orders):
            loss_of = partial(step_loss, prepared, settings, are_clips=are_clips)
            losses = stack.each(loss_of, rows, filled=(count, batches.size))
            stack.weights.grad = None
            losses.sum().backward()
            stack.clip_gradients(settings.clip_norm)
            optimizer.step()
            total += losses.detach() * count

        outputs, valid_losses = _validated(stack, prepared)
        best.update(epoch, valid_losses)
        before, late = late, Late(epoch, total / batches.clips, valid_losses, outputs)
        if before and not before.told(records):
            return best.weights

    assert late
    late.told(records)
    return best.weights


def _validated(stack: Stack, prepared: Prepared) -> tuple[Tensor, Tensor]:
    """Outputs [networks, n, outputs] of the validation clips, and losses [networks]."""
    outputs = _outputs(stack, prepared.valid_inputs, lambda chunk: chunk)
    loss_of, targets = prepared.objective.loss, prepared.valid_targets
    return outputs, stack.each(lambda network, own: loss_of(own, targets), outputs)


def _predictions(
    stack: Stack, prepared: Prepared, splits: Mapping[str, Split]
) -> list[dict[str, np.ndarray]]:
    """Of each network, by split: what `Predictor.predict` gives, but for rounding."""
    device, objective = prepared.targets.device, prepared.objective
    found: list[dict[str, np.ndarray]] = [{} for _ in stack.generators]
    for name, split in splits.items():
        outputs = _outputs(stack, split.batch, lambda chunk: prepared.scaler(chunk.to(device)))
        for predictions, own in zip(found, outputs, strict=True):
            predictions[name] = predicted(objective, own)
    return found


@torch.no_grad()
def _outputs(stack: Stack, batch: Batch, scaled: Callable[[Batch], Batch]) -> Tensor:
    """Of each network in evaluation, [networks, n, outputs]. scaled: makes of a chunk its input.

    The chunks follow one another: threads would exchange the one network's weights at once.
    """
    stack.train(False)

    def outputs_of(inputs: Batch) -> Tensor:
        return stack.each(lambda network: network(inputs))

    return torch.cat([outputs_of(scaled(chunk)) for chunk in chunks(batch)], dim=1)


class _Batches:
    """Batches of one size, the last one of an epoch filled up with rows that are no clips."""

    def __init__(self, clips: int, most: int, device: torch.device) -> None:
        self.clips, self.size, self._device = clips, min(most, clips), device
        self._missing = -clips % self.size
        rows = torch.arange(clips + self._missing)
        self._are_clips = uploaded(rows < clips, device).split(self.size)

    def of_an_epoch(
        self, orders: Sequence[torch.Generator]
    ) -> Iterator[tuple[Tensor, Tensor, int]]:
        """For each step int64 rows [networks, size], which of them are clips, and how many are."""
        order = torch.stack([torch.randperm(self.clips, generator=own) for own in orders])
        rows = uploaded(F.pad(order, (0, self._missing)), self._device).split(self.size, dim=1)
        for step, (own, are_clips) in enumerate(zip(rows, self._are_clips, strict=True)):
            yield own, are_clips, min(self.size, self.clips - step * self.size)


class _Best:
    """The best weights so far, and whose patience lasts; all of it stays on the device.

    current: the weights [networks, weights] that training changes.
    """

    def __init__(self, current: Tensor, patience: int | None) -> None:
        self._current, self._patience = current, patience
        self.weights = current.clone()
        self._loss = current.new_full((len(current),), inf)
        self._epoch = torch.zeros_like(self._loss)
        self._alive = self._epoch == 0

    def update(self, epoch: int, losses: Tensor) -> None:
        """Keep the weights of those whose loss is smaller than ever, while they are alive."""
        better = self._alive & (losses < self._loss)
        self.weights = torch.where(better[:, None], self._current, self.weights)
        self._loss = torch.where(better, losses, self._loss)
        self._epoch.masked_fill_(better, epoch)
        if self._patience:
            self._alive &= epoch - self._epoch < self._patience
