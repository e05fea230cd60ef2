"""Metrics against scikit-learn and against their definitions spelled out."""

from __future__ import annotations

import warnings
from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error

from model import metrics
from model.metrics import MOSI, SIMS, Scale, scale_of
from pipeline.errors import UserError

MOSI_SCORES = st.one_of(
    st.floats(-4, 4, allow_subnormal=False), st.sampled_from([-3.0, -2.5, -0.5, 0.0, 0.5, 1.5, 3.0])
)
SIMS_SCORES = st.one_of(
    st.floats(-1.5, 1.5, allow_subnormal=False),
    st.sampled_from([-1.0, -0.7, -0.1, 0.0, 0.1, 0.7, 1.0]),
)


def pairs(scores: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    def both(n: int) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
        one = arrays(np.float64, n, elements=scores)
        return st.tuples(one, one)

    return st.integers(1, 40).flatmap(both)


def same(a: float, b: float) -> bool:
    return (isnan(a) and isnan(b)) or abs(a - b) < 1e-9


def literal_mosi(truth: list[float], prediction: list[float]) -> dict[str, float]:
    """CMU-MOSI's metrics as the field writes them down."""

    def share(hits: list[bool]) -> float:
        return sum(hits) / len(hits) if hits else float("nan")

    def level(x: float, most: int) -> int:
        return int(np.round(min(max(x, -most), most)))

    both = list(zip(truth, prediction, strict=True))
    return {
        "mae": sum(abs(t - p) for t, p in both) / len(both),
        "acc2": share([(t > 0) == (p > 0) for t, p in both if t != 0]),
        "acc2_nonneg": share([(t >= 0) == (p >= 0) for t, p in both]),
        "acc5": share([level(t, 2) == level(p, 2) for t, p in both]),
        "acc7": share([level(t, 3) == level(p, 3) for t, p in both]),
    }


def literal_sims(truth: list[float], prediction: list[float]) -> dict[str, float]:
    """CH-SIMS's metrics: values cut to ±1, bins closed on the right."""

    def level(x: float, edges: list[float]) -> int:
        x = min(max(x, -1.0), 1.0)
        return next(k for k in range(len(edges) - 1) if edges[k] < x <= edges[k + 1])

    both = list(zip(truth, prediction, strict=True))
    bins = {
        "acc2": [-1.01, 0.0, 1.01],
        "acc3": [-1.01, -0.1, 0.1, 1.01],
        "acc5": [-1.01, -0.7, -0.1, 0.1, 0.7, 1.01],
    }
    hits = {key: [level(t, e) == level(p, e) for t, p in both] for key, e in bins.items()}
    clipped = [abs(min(max(t, -1), 1) - min(max(p, -1), 1)) for t, p in both]
    return {"mae": sum(clipped) / len(both), **{k: sum(h) / len(h) for k, h in hits.items()}}


@given(pairs(MOSI_SCORES))
def test_mosi_metrics_are_their_definition(pair):
    truth, prediction = pair
    found = metrics.regression(truth, prediction, MOSI, warn=False)
    for key, value in literal_mosi(truth.tolist(), prediction.tolist()).items():
        assert same(found[key], value), key


@given(pairs(SIMS_SCORES))
def test_sims_metrics_are_their_definition(pair):
    truth, prediction = pair
    found = metrics.regression(truth, prediction, SIMS, warn=False)
    for key, value in literal_sims(truth.tolist(), prediction.tolist()).items():
        assert same(found[key], value), key


@given(pairs(MOSI_SCORES))
def test_mosi_f1_and_mae_are_scikit_learns(pair):
    truth, prediction = pair
    found = metrics.regression(truth, prediction, MOSI, warn=False)
    assert same(found["mae"], mean_absolute_error(truth, prediction))
    f1 = f1_score(truth >= 0, prediction >= 0, average="weighted")
    assert same(found["f1_nonneg"], f1)
    polar = truth != 0
    if polar.any():
        f1 = f1_score(truth[polar] > 0, prediction[polar] > 0, average="weighted")
        assert same(found["f1"], f1)
    else:
        assert isnan(found["f1"])


@given(pairs(st.integers(0, 2).map(float)))
def test_class_metrics_are_scikit_learns(pair):
    truth, prediction = (x.astype(int) for x in pair)
    found = metrics.classification(truth, prediction)
    assert same(found["acc3"], accuracy_score(truth, prediction))
    f1 = f1_score(truth, prediction, average="weighted", zero_division=0)
    assert same(found["f1"], f1)


def test_corr_is_pearsons():
    random = np.random.default_rng(0)
    truth = random.uniform(-3, 3, 50)
    prediction = truth + random.normal(size=50)
    centred = [x - x.mean() for x in (truth, prediction)]
    expected = (centred[0] @ centred[1]) / np.sqrt(
        (centred[0] @ centred[0]) * (centred[1] @ centred[1])
    )
    found = metrics.regression(truth, prediction, MOSI)["corr"]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("scale", [MOSI, SIMS], ids=lambda s: s.name)
def test_a_constant_prediction_has_no_corr_and_a_warning_says_so(scale: Scale):
    with pytest.warns(UserWarning, match="constant"):
        found = metrics.regression(np.array([0.2, -0.4, 1.0]), np.full(3, 0.1), scale)
    assert isnan(found["corr"])
    assert found["mae"] == pytest.approx((0.1 + 0.5 + 0.9) / 3)


@pytest.mark.parametrize(
    ("labels", "expected"), [([-1, 0.4], SIMS), ([0.0], SIMS), ([-1, 1.2], MOSI), ([3.0], MOSI)]
)
def test_the_scale_follows_the_range_of_the_labels(labels, expected):
    assert scale_of(np.array(labels)) is expected


def test_labels_beyond_any_scale_are_refused():
    with pytest.raises(UserError, match="reach 7"):
        scale_of(np.array([1.0, 7.0]))


def test_three_classes_of_scores():
    assert MOSI.three_classes(np.array([-0.2, 0.0, 0.2])).tolist() == [0, 1, 2]
    assert SIMS.three_classes(np.array([-0.2, -0.1, 0.0, 0.1, 0.2])).tolist() == [0, 0, 1, 1, 2]


def test_reference_rows_know_the_training_labels_only():
    train = np.array([-0.8, -0.8, -0.2, 0.0, 0.6])
    truth = np.array([-0.8, -0.6, 0.0, 0.2, 1.0, -0.2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = metrics.regression_references(train, truth, SIMS)
    # By hand: the median is −0.2, the mean −0.24; both are negative, weakly negative of five.
    assert rows["median score"]["mae"] == pytest.approx(np.abs(truth + 0.2).mean())
    assert rows["mean score"]["mae"] == pytest.approx(np.abs(truth + 0.24).mean())
    assert rows["median score"]["acc5"] == pytest.approx(2 / 6)
    # Most frequent in training: negative; negative; −1 to −0.7.
    majority = rows["majority class"]
    assert majority["acc2"] == pytest.approx(4 / 6)
    assert majority["acc3"] == pytest.approx(3 / 6)
    assert majority["acc5"] == pytest.approx(1 / 6)
    assert majority["f1"] == pytest.approx(f1_score(truth > 0, [False] * 6, average="weighted"))
    assert isnan(majority["mae"])
    assert isnan(majority["corr"])


def test_the_majority_class_of_a_class_task():
    train, truth = np.array([0, 2, 2, 1]), np.array([2, 0, 2, 1])
    rows = metrics.classification_references(train, truth)
    assert rows == {"majority class": {"acc3": 0.5, "f1": pytest.approx(0.5 * 2 / 3)}}


def test_every_reference_row_has_every_metric():
    labels = np.linspace(-3, 3, 13)
    rows = metrics.regression_references(labels, labels, MOSI)
    for row in rows.values():
        assert row.keys() == metrics.regression(labels, labels, MOSI).keys()
