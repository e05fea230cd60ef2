"""The linear probe: what a straight line makes of the steps' mean and deviation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from model.data.batch import Batch, real_steps
from model.data.samples import Samples
from model.metrics import Metrics
from model.objectives.objective import Column, Objective
from pipeline.dataset.clip import SPLITS

PENALTIES = [10.0**power for power in range(-1, 7)]
MOST_ITERATIONS = 300  # of a logistic regression, which begins where the one before ended

Features = dict[str, np.ndarray]  # by split, [clips, width]
Fit = Callable[[Features, dict[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Probe:
    """A linear model. predicted: answers for the clips judged, [n, columns]; metrics: of these."""

    predicted: np.ndarray
    metrics: Metrics


def linear_probes(samples: Samples, objective: Objective) -> dict[str, Probe]:
    """A linear model on each modality, and on all of them.

    Ridge regression, or logistic regression for classes and each of several labels, on the mean and
    the standard deviation of a clip's real steps, standardised as on `train`; where a clip has
    none, on the mean. Fitted on `train`; the penalty is that with the best MAE or accuracy on
    `valid`. A network that is no better has learnt nothing from the order of the steps, nor from
    modalities together.
    """
    of_clips = {m: _summed_up(samples.batch, m) for m in samples.batch.widths}
    chosen = {f"linear probe, {m}": x for m, x in of_clips.items()}
    if len(of_clips) > 1:
        chosen["linear probe, all"] = np.concatenate(list(of_clips.values()), axis=1)
    rows = {name: samples.splits == name for name in SPLITS}
    rows["test"] = samples.splits == samples.judged
    truth = {name: objective.truth(samples.labels[own]) for name, own in rows.items()}
    found = {}
    for name, x in chosen.items():
        features = {split: x[own] for split, own in rows.items()}
        predicted = _answers(features, truth, objective.columns)
        found[name] = Probe(predicted, objective.measure(truth["test"], predicted, warn=False))
    return found


def _answers(x: Features, truth: Features, columns: Sequence[Column]) -> np.ndarray:
    """What a model of each column, fitted to the clips of which it is known, says of `test`."""
    answers, standard = [], {}
    for kind, own in zip(
        columns, zip(*(truth[name].T for name in SPLITS), strict=True), strict=True
    ):
        fitted, chosen = (np.isfinite(values) for values in own[:2])
        key = fitted.tobytes()
        if key not in standard:
            standard[key] = _standardised({**x, "train": x["train"][fitted]})
        features = {**standard[key], "valid": standard[key]["valid"][chosen]}
        known = {"train": own[0][fitted], "valid": own[1][chosen], "test": own[2]}
        answers.append(FITS[kind](features, known))
    return np.stack(answers, axis=1)


def _summed_up(batch: Batch, modality: str) -> np.ndarray:
    """Mean and deviation of the real steps, float64 [clips, 2 × width]; NaN where none are."""
    x, lengths = batch.features[modality], batch.lengths[modality]
    is_real = real_steps(lengths, x.shape[1])[..., None]
    count = lengths.double()[:, None]
    mean = torch.where(is_real, x, 0).sum(1, dtype=torch.float64) / count
    square = torch.where(is_real, x - mean[:, None].float(), 0).square().sum(1, dtype=torch.float64)
    return torch.cat([mean, (square / count).sqrt()], dim=1).numpy()


def _standardised(x: Features) -> Features:
    """As on `train`, 0 for NaN; turned, which no penalty notices, to at most as many columns as
    `train` has clips.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of features that no clip has
        mean, deviation = np.nanmean(x["train"], axis=0), np.nanstd(x["train"], axis=0)
    scale = np.where(deviation > 0, deviation, 1)
    standard = {name: np.nan_to_num((own - mean) / scale) for name, own in x.items()}
    turned = np.linalg.svd(standard["train"], full_matrices=False)[2].T
    return {name: own @ turned for name, own in standard.items()}


def _ridge(features: Features, labels: dict[str, np.ndarray]) -> np.ndarray:
    """In closed form: the columns of `train` are orthogonal, and their means are 0."""
    x, y = features["train"], labels["train"]
    squares, products, mean = (x * x).sum(0), x.T @ (y - y.mean()), y.mean()
    weights = [products / (squares + penalty) for penalty in PENALTIES]
    errors = [np.abs(features["valid"] @ w + mean - labels["valid"]).mean() for w in weights]
    return features["test"] @ weights[int(np.argmin(errors))] + mean


def _logistic(features: Features, classes: dict[str, np.ndarray]) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(classes["train"])) == 1:
        return np.full(len(classes["test"]), classes["train"][0])
    model, found = LogisticRegression(max_iter=MOST_ITERATIONS, warm_start=True), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps that don't suffice
        for penalty in reversed(PENALTIES):  # each begins where the one before ended
            model.set_params(C=1 / penalty).fit(features["train"], classes["train"])
            share = (model.predict(features["valid"]) == classes["valid"]).mean()
            found.append((share, model.predict(features["test"])))
    return max(found, key=lambda one: one[0])[1]


FITS: Mapping[Column, Fit] = {"score": _ridge, "class": _logistic}
