"""Training: one page from tensors to a model chosen on validation and measured on test."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import inf, isfinite, nan

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from model.data.batch import Batch, drop_features
from model.data.samples import Samples, Split
from model.data.scaler import Scaler
from model.finetune.network import fine_tuned
from model.metrics import Metrics
from model.network import Network
from model.objectives.choose import objective_of
from model.objectives.objective import Objective
from model.objectives.single_modality import of_single_modalities
from model.registry import build
from model.step.threads import one_thread
from model.training.predictor import Predictor, in_chunks
from model.training.settings import TrainSettings
from pipeline.dataset.clip import SPLITS
from pipeline.errors import UserError
from pipeline.system import resources
from pipeline.system.device import require
from pipeline.system.memory import keep_freed_steps
from pipeline.system.threads import at_work

Curve = list[dict[str, float]]
OnEpoch = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class Trained:
    """A training's outcome.

    curve: a row an epoch. best_epoch: the one with the smallest validation loss, whose weights
    `predictor` has. predictions: by split, as `Predictor.predict` gives them, in clip order.
    metrics: by split, `valid` and, where there is one, `test`. references: rows to compare those
    of the split `judged` with.
    """

    predictor: Predictor
    curve: Curve
    best_epoch: int
    predictions: Mapping[str, np.ndarray]
    metrics: Mapping[str, Metrics]
    references: Mapping[str, Metrics]
    seconds: float

    @property
    def judged(self) -> str:
        """The split that results are of: `test`, or `valid` where there is no test split."""
        return "test" if "test" in self.metrics else "valid"


@dataclass(frozen=True)
class Prepared:
    """What trainings on the same samples share, on the device: standardised features and targets.

    scaler: as fitted on `train`. truth: what `valid_targets` are made of.
    """

    objective: Objective
    scaler: Scaler
    inputs: Batch
    targets: Tensor
    valid_inputs: Batch
    valid_targets: Tensor
    truth: np.ndarray


@one_thread()
def train(
    samples: Samples, settings: TrainSettings, on_epoch: OnEpoch = lambda row: None
) -> Trained:
    """Train on `train`, choose the epoch on `valid`, then and only then read `test`.

    The objective's loss also chooses the epoch; a model may add to it (`Network.loss`). The same
    settings on the same machine give the same bits; torch's own generators are left as they were.
    """
    with at_work(resources.cores()):
        return train_prepared(prepare(samples, settings), samples, settings, on_epoch)


def prepare(samples: Samples, settings: TrainSettings) -> Prepared:
    """Standardise `train` and `valid`, once for all seeds."""
    device = torch.device(require(settings.device))
    fitted, held_out = samples.split("train"), samples.split("valid")
    scaler = Scaler(samples.batch.widths).to(device)
    scaler.fit(fitted.batch.to(device))
    inputs, valid_inputs = (scaler(s.batch.to(device)) for s in (fitted, held_out))
    objective = objective_of(samples.targets, settings.task, settings.target_weights)
    truth, valid_truth = (objective.truth(s.labels) for s in (fitted, held_out))
    targets, valid_targets = (torch.from_numpy(t).float().to(device) for t in (truth, valid_truth))
    return Prepared(objective, scaler, inputs, targets, valid_inputs, valid_targets, valid_truth)


def train_prepared(
    prepared: Prepared, samples: Samples, settings: TrainSettings, on_epoch: OnEpoch
) -> Trained:
    """As `train`, on what `prepare` gave."""
    started = time.perf_counter()
    keep_freed_steps()
    device = prepared.targets.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        network = untrained(prepared, samples, settings).to(device)
        curve = _fit(network, prepared, settings, on_epoch)
    # On the CPU, so that a reloaded model gives the same bits wherever it was trained.
    predictor = predictor_of(network, prepared)
    splits = splits_of(samples)
    predictions = {name: predictor.predict(split.batch) for name, split in splits.items()}
    seconds = time.perf_counter() - started
    return judged(predictor, curve, predictions, splits, seconds)


def predictor_of(network: Network, prepared: Prepared) -> Predictor:
    """What `network` has learnt, on the CPU."""
    return Predictor(deepcopy(prepared.scaler), network, prepared.objective).cpu()


def splits_of(samples: Samples) -> dict[str, Split]:
    """Each split that there is: to be asked for once, after the last epoch."""
    return {name: samples.split(name) for name in SPLITS if name in samples.splits}


def best_epoch(curve: Curve) -> int:
    """The first with the smallest validation loss."""
    return int(min(curve, key=lambda row: row["valid_loss"])["epoch"])


def step_loss(
    prepared: Prepared,
    settings: TrainSettings,
    network: Network,
    rows: Tensor,
    are_clips: Tensor | None = None,
) -> Tensor:
    """What a step on the training clips at `rows` lessens, a scalar.

    are_clips: bool [n]; a row where it is false is no clip: nothing of it is known, not even what
    is to be learnt, so it has no part in the loss.
    """
    batch, targets = prepared.inputs[rows], prepared.targets[rows]
    if are_clips is not None:
        batch, targets = batch.where(are_clips), targets.where(are_clips[:, None], nan)
    batch = drop_features(batch, settings.feature_dropout)
    return network.loss(batch, targets, prepared.objective.loss, rows)


def _fit(network: Network, prepared: Prepared, settings: TrainSettings, on_epoch: OnEpoch) -> Curve:
    """The loop; leaves the best epoch's weights in `network`."""
    clips, device, loss_of = len(prepared.inputs), prepared.targets.device, prepared.objective.loss
    optimizer = network.optimizer(settings.lr, settings.weight_decay)
    weights = list(network.parameters())  # to find them takes a while, at every step
    order = torch.Generator().manual_seed(settings.seed)
    best, best_loss = deepcopy(network.state_dict()), inf
    curve: Curve = []

    for epoch in range(1, settings.epochs + 1):
        network.train()
        network.begin(epoch, clips)
        total = torch.zeros((), device=device)
        for rows in torch.randperm(clips, generator=order).to(device).split(settings.batch):
            loss = step_loss(prepared, settings, network, rows)
            for weight in weights:
                weight.grad = None
            loss.backward()
            clip_grad_norm_(weights, settings.clip_norm, foreach=True)
            optimizer.step()
            total += loss.detach() * len(rows)

        network.eval()
        outputs = in_chunks(network, prepared.valid_inputs)
        losses = float(total) / clips, float(loss_of(outputs, prepared.valid_targets))
        curve.append(curve_row(prepared, settings, epoch, losses, outputs))
        on_epoch(curve[-1])
        if losses[1] < best_loss:
            best_loss = losses[1]
            for kept, weight in zip(best.values(), network.state_dict().values(), strict=True):
                kept.copy_(weight)
        elif is_over(curve, settings):
            break

    network.load_state_dict(best)
    return curve


def is_over(curve: Curve, settings: TrainSettings) -> bool:
    """Whether patience has run out."""
    return settings.patience is not None and len(curve) - best_epoch(curve) >= settings.patience


def curve_row(
    prepared: Prepared,
    settings: TrainSettings,
    epoch: int,
    losses: tuple[float, float],
    outputs: Tensor,
) -> dict[str, float]:
    """An epoch's losses of `train` and `valid`, and the metrics of its outputs of `valid`."""
    if not all(map(isfinite, losses)):
        raise UserError(f"epoch {epoch}: the loss is not finite; try lr < {settings.lr:g}")
    objective = prepared.objective
    answers = objective.answers(objective.predictions(outputs).cpu().numpy())
    measured = objective.measure(prepared.truth, answers, warn=False)
    row = {"epoch": epoch, "train_loss": losses[0], "valid_loss": losses[1]}
    return {**row, **{f"valid_{name}": value for name, value in measured.items()}}


def judged(
    predictor: Predictor,
    curve: Curve,
    predictions: Mapping[str, np.ndarray],
    splits: Mapping[str, Split],
    seconds: float,
) -> Trained:
    """The outcome: metrics of the splits that were not trained on, and what to compare with."""
    objective = predictor.objective
    last = "test" if "test" in splits else "valid"
    truth = {name: objective.truth(splits[name].labels) for name in ("valid", last)}
    metrics = {
        name: objective.measure(own, objective.answers(in_columns(predictions[name])))
        for name, own in truth.items()
    }
    references = objective.references(truth[last])
    return Trained(predictor, curve, best_epoch(curve), predictions, metrics, references, seconds)


def in_columns(predictions: np.ndarray) -> np.ndarray:
    """What `Predictor.predict` gave, [n, outputs] also where there is one output."""
    return predictions.reshape(len(predictions), -1)


def untrained(prepared: Prepared, samples: Samples, settings: TrainSettings) -> Network:
    """The model, freshly initialised from torch's generator, with the encoder that is to learn."""
    widths, objective = samples.batch.widths, prepared.objective
    alone = of_single_modalities(objective) if settings.own_vectors else {}
    network = build(settings.model, widths, objective.outputs, settings.network, alone)
    if not settings.finetune:
        return network
    scaler, dropout = prepared.scaler, settings.feature_dropout
    return fine_tuned(network, samples, scaler, settings.finetune, dropout)
