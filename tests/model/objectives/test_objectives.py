"""Every kind of target against its definitions spelled out, and with values missing."""

from __future__ import annotations

from math import isnan, log

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torch.nn import functional as F

from model.experiments import bootstrap
from model.metrics import MOSI, SIMS, concordance, ordered, scale_within
from model.objectives.choose import Task, objective_of, recorded
from model.objectives.classes import Classes
from model.objectives.joint import Joint
from model.objectives.labels import Labels
from model.objectives.objective import Objective, Validated
from model.objectives.polarity import Polarity
from model.objectives.score import Score
from pipeline.dataset.target import Target
from pipeline.errors import UserError

CLIPS = 40
NAMES = ("angry", "sad", "happy")
SCORE = Score(name="sentiment", scale=MOSI)
VALENCE = Score(name="valence", scale=scale_within(1, 5))
CLASSES = Classes(name="emotion", names=NAMES)
LABELS = Labels(name="emotions", names=NAMES)
JOINT = Joint(name="", parts=[SCORE, CLASSES, LABELS], weights=[1.0, 0.5, 2.0])
KINDS: dict[str, Objective] = {
    "score": SCORE, "valence": VALENCE, "polarity": Polarity(name="label", scale=SIMS),
    "classes": CLASSES, "labels": LABELS, "joint": JOINT,
}  # fmt: skip


def values(objective: Objective, missing: float = 0.0, seed: int = 0) -> np.ndarray:
    """True values of CLIPS clips, a share of them missing; of each clip something is known."""
    random = np.random.default_rng(seed)
    classes = random.integers(0, 3, CLIPS)
    by_kind = {"score": random.uniform(-1, 1, CLIPS), "class": classes.astype(float)}
    found = np.stack([random.permutation(by_kind[kind]) for kind in objective.columns], axis=1)
    found[random.random(found.shape) < missing] = np.nan
    found[np.isnan(found).all(axis=1)] = 1.0
    return found if found.shape[1] > 1 else found[:, 0]


def outputs(objective: Objective, seed: int = 0) -> torch.Tensor:
    return torch.randn(CLIPS, objective.outputs, generator=torch.Generator().manual_seed(seed))


def answered(objective: Objective, seed: int = 0) -> np.ndarray:
    return objective.answers(objective.predictions(outputs(objective, seed)).numpy())


def truth_of(objective: Objective, missing: float = 0.0) -> np.ndarray:
    return objective.truth(values(objective, missing))


@pytest.mark.parametrize("name", KINDS)
def test_a_weighting_of_clips_gives_the_metrics_of_the_clips_that_it_repeats(name: str) -> None:
    objective = KINDS[name]
    truth = truth_of(objective, 0.2 if name in ("labels", "joint") else 0)
    answers = answered(objective)
    counts = np.random.default_rng(1).multinomial(CLIPS, np.full(CLIPS, 1 / CLIPS), 10)
    found = bootstrap._measured(counts.astype(float), objective.sums(truth, answers))
    for i, own in enumerate(counts):
        true, said = (np.repeat(x, own, axis=0) for x in (truth, answers))
        expected = objective.measure(true, said, warn=False)
        assert {key: values[i] for key, values in found.items()} == pytest.approx(expected)


@pytest.mark.parametrize("name", KINDS)
def test_a_loss_is_of_what_is_known_and_maps_over_seeds(name: str) -> None:
    objective = KINDS[name]
    truth = torch.from_numpy(truth_of(objective, 0.3)).float()
    y = outputs(objective).requires_grad_()
    loss = objective.loss(y, truth)
    loss.backward()
    assert y.grad is not None
    assert y.grad.isfinite().all()
    assert objective.loss(outputs(objective), truth * torch.nan) == 0
    both = torch.stack([outputs(objective, seed) for seed in (0, 1)])
    mapped = torch.func.vmap(lambda own: objective.loss(own, truth))(both)
    assert mapped[0] == pytest.approx(loss.item())
    assert mapped[1] == pytest.approx(objective.loss(both[1], truth).item())


@pytest.mark.parametrize("name", KINDS)
def test_a_table_of_predictions_is_read_as_it_was_written(name: str) -> None:
    objective = KINDS[name]
    truth = truth_of(objective, 0.3 if name in ("labels", "joint") else 0)
    predictions = objective.predictions(outputs(objective)).numpy()
    lines = [
        dict(zip(objective.header, map(str, objective.cells(*both)), strict=True))
        for both in zip(truth.tolist(), predictions.tolist(), strict=True)
    ]
    again, said = objective.read(lines)
    np.testing.assert_array_equal(again, truth)
    np.testing.assert_array_equal(said.astype(np.float32), predictions)
    told = list(objective.said(said, lambda: Validated(truth, objective.answers(said))))
    assert len(told) == CLIPS
    assert np.isfinite(objective.errors(truth, predictions)).all()


def test_the_loss_of_classes_is_the_cross_entropy_of_those_that_are_known() -> None:
    truth = torch.tensor([[0.0], [torch.nan], [2.0]])
    y = torch.tensor([[1.0, 0, 0], [9, 9, 9], [0, 0, 3]])
    shares = y[[0, 2]].softmax(-1)
    expected = -(log(shares[0, 0]) + log(shares[1, 2])) / 2
    assert CLASSES.loss(y, truth).item() == pytest.approx(expected)


def test_a_joint_loss_is_the_weighted_sum_of_the_parts() -> None:
    truth, y = torch.from_numpy(truth_of(JOINT)).float(), outputs(JOINT)
    parts = [
        F.l1_loss(y[:, :1], truth[:, :1]),
        F.cross_entropy(y[:, 1:4], truth[:, 1].long()),
        F.binary_cross_entropy_with_logits(y[:, 4:], truth[:, 2:]),
    ]
    expected = sum(w * part for w, part in zip(JOINT.weights, parts, strict=True))
    assert JOINT.loss(y, truth).item() == pytest.approx(float(expected))


def test_class_metrics_are_their_definitions() -> None:
    truth, said = truth_of(CLASSES)[:, 0], answered(CLASSES)[:, 0]
    found = CLASSES.measure(truth[:, None], said[:, None])
    hits = [np.sum((truth == c) & (said == c)) for c in range(3)]
    recalls = [hit / np.sum(truth == c) for c, hit in enumerate(hits)]
    f1s = [2 * hit / (np.sum(truth == c) + np.sum(said == c)) for c, hit in enumerate(hits)]
    weights = [np.mean(truth == c) for c in range(3)]
    assert found == pytest.approx(
        {
            "acc": sum(hits) / CLIPS,
            "f1": np.dot(f1s, weights),
            "f1_macro": np.mean(f1s),
            "uar": np.mean(recalls),
        }
    )
    assert found["uar"] == pytest.approx(balanced_accuracy_score(truth, said))
    assert CLASSES.confusions(truth[:, None], said[:, None])[0].counts.trace() == sum(hits)


def test_label_metrics_are_mosei_s() -> None:
    """WA = (TP × N / P + TN) / 2N, where N clips lack the label and P have it."""
    truth, said = truth_of(LABELS, 0.2), answered(LABELS)
    found = LABELS.measure(truth, said)
    for name, true, own in zip(NAMES, truth.T, said.T, strict=True):
        true, own = true[~np.isnan(true)], own[~np.isnan(true)]
        present, absent = true.sum(), (1 - true).sum()
        hit, right = (true * own).sum(), ((1 - true) * (1 - own)).sum()
        assert found[f"{name}.wacc"] == pytest.approx(
            (hit * absent / present + right) / (2 * absent)
        )
        f1_present = 2 * hit / (present + own.sum())
        f1_absent = 2 * right / (absent + (1 - own).sum())
        weighted = (present * f1_present + absent * f1_absent) / len(true)
        assert found[f"{name}.f1"] == pytest.approx(weighted)
    assert found["wacc"] == pytest.approx(np.mean([found[f"{name}.wacc"] for name in NAMES]))
    constant = LABELS.references(truth)["majority class"]
    assert constant["wacc"] == pytest.approx(0.5)


def test_concordance_is_lins() -> None:
    x, y = np.array([1.0, 2, 4, 5]), np.array([2.0, 2, 5, 3])
    covariance = np.mean((x - 3) * (y - 3))
    assert concordance(x, y) == pytest.approx(2 * covariance / (x.var() + y.var() + 0))
    assert concordance(x, x + 1) == pytest.approx(2 * x.var() / (2 * x.var() + 1))
    assert isnan(concordance(np.ones(3), np.ones(3)))
    assert concordance(x, np.full(4, 3.0)) == 0
    found = VALENCE.measure(x[:, None], y[:, None])
    assert found.keys() == {"mae", "corr", "ccc"}


def test_metrics_of_one_target_stand_together_in_a_table() -> None:
    measured = JOINT.measure(truth_of(JOINT), answered(JOINT))
    columns = ordered(measured)
    assert columns[0] == "sentiment.acc2"
    assert columns[8:12] == [f"emotion.{key}" for key in ("acc", "f1", "f1_macro", "uar")]
    assert JOINT.lead == "sentiment.mae"


@pytest.mark.parametrize("name", KINDS)
def test_a_run_says_what_it_has_learnt_and_is_read_again(name: str) -> None:
    one = {
        "score": Target(name="label", range=(-3, 3)),
        "valence": Target(name="valence", range=(1, 5)),
        "polarity": Target(name="label", range=(-1, 1)),
        "classes": Target(name="emotion", kind="classes", classes=NAMES),
        "labels": Target(
            name="emotions", kind="labels", range=(0, 3), columns=("label_a", "label_b")
        ),
    }
    targets = list(one.values())[1:] if name == "joint" else [one[name]]
    task: Task = "classification" if name == "polarity" else "regression"
    weights = {"emotion": 0.5} if name == "joint" else {}
    data = {"target": "", "scale": "mosi", "targets": [t.model_dump() for t in targets]}
    settings = {"train": {"task": task, "target_weights": weights}, "data": data}
    assert recorded(settings) == objective_of(targets, task, weights)


def test_a_run_of_an_earlier_version_has_learnt_a_score_on_its_scale() -> None:
    data = {"target": "T", "scale": "sims"}
    found = recorded({"train": {"task": "regression"}, "data": data})
    assert found == Score(name="T", scale=SIMS)


def test_what_a_target_does_not_have_is_refused() -> None:
    valence = Target(name="valence", range=(1, 5))
    with pytest.raises(UserError, match="leave out --task classification"):
        objective_of([valence], "classification")
    with pytest.raises(UserError, match="no target emotion is trained; only valence"):
        objective_of([valence], "regression", {"emotion": 1.0})
