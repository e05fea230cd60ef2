"""The linear probe: what a straight line makes of the steps' mean and deviation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from model.data.batch import Batch, real_steps
from model.data.samples import Samples
from model.metrics import Metrics, Scale, classification, regression
from model.training.settings import Task
from pipeline.dataset.clip import SPLITS

PENALTIES = [10.0**power for power in range(-1, 7)]
MOST_ITERATIONS = 300  # of the logistic regression; more change nothing that is printed

Features = dict[str, np.ndarray]  # by split, [clips, width]


def linear_probes(samples: Samples, task: Task) -> dict[str, Metrics]:
    """Metrics on `test` of a linear model on each modality, and on all of them.

    Ridge regression, or logistic regression for classes, on the mean and the standard deviation of
    a clip's real steps, standardised as on `train`; where a clip has none, on the mean. Fitted on
    `train`; the penalty is that with the best MAE or accuracy on `valid`. A network that is no
    better has learnt nothing from the order of the steps, nor from modalities together.
    """
    modalities = list(samples.batch.widths)
    chosen = {f"linear probe, {modality}": [modality] for modality in modalities}
    if len(modalities) > 1:
        chosen["linear probe, all"] = modalities
    labels = {name: samples.split(name).labels for name in SPLITS}
    fit = _ridge if task == "regression" else _logistic
    return {name: fit(_features(samples, of), labels, samples.scale) for name, of in chosen.items()}


def _features(samples: Samples, modalities: Sequence[str]) -> Features:
    found = {
        name: np.concatenate([_summed_up(samples.split(name).batch, m) for m in modalities], axis=1)
        for name in SPLITS
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of features that no clip has
        mean, deviation = np.nanmean(found["train"], axis=0), np.nanstd(found["train"], axis=0)
    scale = np.where(deviation > 0, deviation, 1)
    return {name: np.nan_to_num((x - mean) / scale) for name, x in found.items()}


def _summed_up(batch: Batch, modality: str) -> np.ndarray:
    """Mean and deviation of the real steps, float64 [clips, 2 × width]; NaN where none are."""
    x, lengths = batch.features[modality], batch.lengths[modality]
    is_real = real_steps(lengths, x.shape[1])[..., None]
    count = lengths.double()[:, None]
    mean = torch.where(is_real, x, 0).sum(1, dtype=torch.float64) / count
    square = torch.where(is_real, x - mean[:, None].float(), 0).square().sum(1, dtype=torch.float64)
    return torch.cat([mean, (square / count).sqrt()], dim=1).numpy()


def _ridge(features: Features, labels: dict[str, np.ndarray], scale: Scale) -> Metrics:
    from sklearn.linear_model import Ridge

    def error(model: Any) -> float:
        return float(np.abs(model.predict(features["valid"]) - labels["valid"]).mean())

    best = _best(Ridge, [{"alpha": p} for p in PENALTIES], features, labels["train"], error)
    return regression(labels["test"], best.predict(features["test"]), scale, warn=False)


def _logistic(features: Features, labels: dict[str, np.ndarray], scale: Scale) -> Metrics:
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression

    classes = {name: scale.three_classes(own) for name, own in labels.items()}

    def error(model: Any) -> float:
        return float((model.predict(features["valid"]) != classes["valid"]).mean())

    has_several = len(np.unique(classes["train"])) > 1
    kind = LogisticRegression if has_several else DummyClassifier
    settings = (
        [{"C": 1 / p, "max_iter": MOST_ITERATIONS} for p in PENALTIES] if has_several else [{}]
    )
    best = _best(kind, settings, features, classes["train"], error)
    return classification(classes["test"], best.predict(features["test"]))


def _best(
    kind: Callable[..., Any],
    settings: Sequence[dict[str, float]],
    features: Features,
    truth: np.ndarray,
    error: Callable[[Any], float],
) -> Any:
    """The model of scikit-learn with the least error, of those with each of the settings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps that don't suffice, of matrices near singular
        return min((kind(**one).fit(features["train"], truth) for one in settings), key=error)
