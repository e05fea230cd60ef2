"""The linear probe is its equations, chosen on validation, blind to the test split and to order."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.data.batch import Batch
from model.data.samples import Samples
from model.data.truth import scored
from model.metrics import SIMS, Metrics
from model.objectives.choose import Task, objective_of
from model.training.probe import PENALTIES, linear_probes

CLIPS, STEPS, WIDTH = 90, 6, 4
SPLITS = np.array(["train"] * 50 + ["valid"] * 20 + ["test"] * 20)


def measured(samples: Samples, task: Task) -> dict[str, Metrics]:
    objective = objective_of(samples.targets, task)
    return {name: probe.metrics for name, probe in linear_probes(samples, objective).items()}


@pytest.fixture
def samples() -> Samples:
    random = np.random.default_rng(3)
    lengths = torch.from_numpy(random.integers(1, STEPS + 1, CLIPS))
    features = {
        m: torch.from_numpy(random.normal(size=(CLIPS, STEPS, WIDTH))).float() for m in "vt"
    }
    named = {"visual": features["v"], "text": features["t"]}
    told = (
        torch.where(torch.arange(STEPS) < lengths[:, None], named["text"][..., 0], 0).sum(1)
        / lengths
    )
    labels = np.tanh(told.numpy().astype(float) + 0.2 * random.normal(size=CLIPS))
    ids = [str(i) for i in range(CLIPS)]
    return Samples(
        "made", ids, Batch(named, dict.fromkeys(named, lengths)), labels, SPLITS, scored(SIMS)
    )


def test_it_is_ridge_regression_with_the_penalty_that_validation_chooses(samples: Samples) -> None:
    x = samples.batch.features["text"].double().numpy()
    rows = [x[i, :n] for i, n in enumerate(samples.batch.lengths["text"].tolist())]
    summed_up = np.array([np.concatenate([row.mean(0), row.std(0)]) for row in rows])
    train, valid, test = (np.equal(SPLITS, name) for name in ("train", "valid", "test"))
    z = (summed_up - summed_up[train].mean(0)) / summed_up[train].std(0)
    y = samples.labels
    found = []
    for penalty in PENALTIES:  # in closed form
        gram = z[train].T @ z[train] + penalty * np.eye(z.shape[1])
        weights = np.linalg.solve(gram, z[train].T @ (y[train] - y[train].mean()))
        predicted = z @ weights + y[train].mean()
        error = np.abs(np.clip(predicted, -1, 1) - y)[test].mean()  # as scores are
        found.append((np.abs(predicted - y)[valid].mean(), error))
    assert measured(samples, "regression")["linear probe, text"]["mae"] == pytest.approx(
        min(found)[1], abs=1e-6
    )


def test_it_finds_what_the_means_tell_and_nothing_else(samples: Samples) -> None:
    rows = measured(samples, "regression")
    assert list(rows) == [f"linear probe, {of}" for of in ("visual", "text", "all")]
    assert rows["linear probe, text"]["corr"] > 0.8 > 0.5 > rows["linear probe, visual"]["corr"]
    classes = measured(samples, "classification")
    assert classes["linear probe, text"]["acc3"] > classes["linear probe, visual"]["acc3"]


def test_neither_padding_nor_test_labels_change_a_prediction(samples: Samples) -> None:
    rows = measured(samples, "regression")
    for modality, x in samples.batch.features.items():
        x[torch.arange(STEPS) >= samples.batch.lengths[modality][:, None]] = torch.nan
    assert measured(samples, "regression") == rows
    negated = np.where(SPLITS == "test", -samples.labels, samples.labels)
    turned = measured(replace(samples, labels=negated), "regression")
    assert [row["corr"] for row in turned.values()] == pytest.approx(
        [-row["corr"] for row in rows.values()]
    )


def test_clips_without_a_modality_and_features_that_none_has_count_as_the_mean(
    samples: Samples,
) -> None:
    lengths = samples.batch.lengths["visual"].clone()
    lengths[::3] = 0
    batch = Batch(samples.batch.features, {**samples.batch.lengths, "visual": lengths})
    samples.batch.features["visual"][..., 1] = torch.nan
    rows = measured(replace(samples, batch=batch), "regression")
    assert np.isfinite(list(rows["linear probe, all"].values())).all()


def test_a_single_class_to_learn_from_is_predicted(samples: Samples) -> None:
    ones = replace(samples, labels=np.ones(CLIPS))
    assert measured(ones, "classification")["linear probe, text"] == {"acc3": 1.0, "f1": 1.0}
