"""The linear probe: what a straight line makes of the steps' mean and deviation."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from model.data.batch import Batch, real_steps
from model.data.samples import Samples
from model.metrics import Metrics, Scale, classification, regression
from model.training.settings import Task
from pipeline.dataset.clip import SPLITS

PENALTIES = [10.0**power for power in range(-1, 7)]
MOST_ITERATIONS = 300  # of a logistic regression, which begins where the one before ended

Features = dict[str, np.ndarray]  # by split, [clips, width]


def linear_probes(samples: Samples, task: Task) -> dict[str, Metrics]:
    """Metrics on `test` of a linear model on each modality, and on all of them.

    Ridge regression, or logistic regression for classes, on the mean and the standard deviation of
    a clip's real steps, standardised as on `train`; where a clip has none, on the mean. Fitted on
    `train`; the penalty is that with the best MAE or accuracy on `valid`. A network that is no
    better has learnt nothing from the order of the steps, nor from modalities together.
    """
    of_clips = {m: _summed_up(samples.batch, m) for m in samples.batch.widths}
    chosen = {f"linear probe, {m}": x for m, x in of_clips.items()}
    if len(of_clips) > 1:
        chosen["linear probe, all"] = np.concatenate(list(of_clips.values()), axis=1)
    rows = {name: samples.splits == name for name in SPLITS}
    labels = {name: samples.labels[own] for name, own in rows.items()}
    fit = _ridge if task == "regression" else _logistic
    return {
        name: fit(
            _standardised({split: x[own] for split, own in rows.items()}), labels, samples.scale
        )
        for name, x in chosen.items()
    }


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


def _ridge(features: Features, labels: dict[str, np.ndarray], scale: Scale) -> Metrics:
    """In closed form: the columns of `train` are orthogonal, and their means are 0."""
    x, y = features["train"], labels["train"]
    squares, products, mean = (x * x).sum(0), x.T @ (y - y.mean()), y.mean()
    weights = [products / (squares + penalty) for penalty in PENALTIES]
    errors = [np.abs(features["valid"] @ w + mean - labels["valid"]).mean() for w in weights]
    predicted = features["test"] @ weights[int(np.argmin(errors))] + mean
    return regression(labels["test"], predicted, scale, warn=False)


def _logistic(features: Features, labels: dict[str, np.ndarray], scale: Scale) -> Metrics:
    from sklearn.linear_model import LogisticRegression

    classes = {name: scale.three_classes(own) for name, own in labels.items()}
    if len(np.unique(classes["train"])) == 1:
        return classification(classes["test"], np.full_like(classes["test"], classes["train"][0]))
    model, found = LogisticRegression(max_iter=MOST_ITERATIONS, warm_start=True), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps that don't suffice
        for penalty in reversed(PENALTIES):  # each begins where the one before ended
            model.set_params(C=1 / penalty).fit(features["train"], classes["train"])
            share = (model.predict(features["valid"]) == classes["valid"]).mean()
            found.append((share, model.predict(features["test"])))
    _, best = max(found, key=lambda one: one[0])
    return classification(classes["test"], best)
