"""Metrics against scikit-learn and against their definitions spelled out."""

from __future__ import annotations

import warnings
from math import isnan

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error

from model import metrics
from model.metrics import MOSI, SIMS, Scale, scale_of
from model.objectives.polarity import Polarity
from pipeline.errors import UserError

POLARITY = Polarity(name="label", scale=SIMS)
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
    found = POLARITY.measure(truth[:, None], prediction[:, None])
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


@given(pairs(SIMS_SCORES))
def test_sims_f1_mae_and_classes_are_scikit_learns(pair):
    truth, prediction = pair
    found = metrics.regression(truth, prediction, SIMS, warn=False)
    truth, prediction = (np.clip(x, -1, 1) for x in pair)
    assert same(found["mae"], mean_absolute_error(truth, prediction))
    f1 = f1_score(truth > 0, prediction > 0, average="weighted")
    assert same(found["f1"], f1)
    edges = [-1.01, -0.7, -0.1, 0.1, 0.7, 1.01]
    levels = [pd.cut(x, edges, labels=False) for x in (truth, prediction)]
    assert same(found["acc5"], accuracy_score(*levels))


def test_reference_rows_are_computed_on_the_test_labels():
    truth = np.array([-0.8, -0.6, 0.0, 0.2, 1.0, -0.2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = metrics.regression_references(truth, SIMS)
    # By hand: the median is −0.1, which is negative, weakly negative of five.
    assert rows["median score"]["mae"] == pytest.approx(np.abs(truth + 0.1).mean())
    assert rows["median score"]["acc2"] == pytest.approx(4 / 6)
    assert rows["median score"]["acc5"] == pytest.approx(2 / 6)
    # Most frequent: negative of two, of three, weakly negative of five.
    majority = rows["majority class"]
    assert majority["acc2"] == pytest.approx(4 / 6)
    assert majority["acc3"] == pytest.approx(3 / 6)
    assert majority["acc5"] == pytest.approx(2 / 6)
    assert majority["f1"] == pytest.approx(f1_score(truth > 0, [False] * 6, average="weighted"))
    assert isnan(majority["mae"])
    assert isnan(majority["corr"])


@given(arrays(np.float64, st.integers(1, 30), elements=MOSI_SCORES), st.floats(-3, 3))
def test_no_constant_does_better_than_the_reference_rows(truth, constant):
    rows = metrics.regression_references(truth, MOSI)
    found = metrics.regression(truth, np.full(len(truth), constant), MOSI, warn=False)
    assert found["mae"] >= rows["median score"]["mae"] - 1e-9
    for key in MOSI.accuracies:
        assert isnan(found[key]) or found[key] <= rows["majority class"][key] + 1e-12


SIMS_TEST = np.repeat([-1.0, -0.8, -0.6, -0.2, 0.0, 0.4, 1.0], [80, 71, 40, 57, 69, 90, 50])
"""457 clips spread as CH-SIMS's test split must be for the published row below: 151 negative and 97
weakly negative, 69 neutral, 140 positive."""


def test_a_published_row_is_that_of_answering_the_same_for_every_clip():
    """EF-LSTM on CH-SIMS as published, 69.37 / 54.27 / 21.23 / F1 56.82, has learnt nothing."""
    rows = metrics.regression_references(SIMS_TEST, SIMS)
    published = {"acc2": 69.37, "acc3": 54.27, "acc5": 21.23, "f1": 56.82}
    weakly_negative = metrics.regression(SIMS_TEST, np.full(457, -0.3), SIMS, warn=False)
    for found in (rows["median score"], weakly_negative):
        assert {key: round(100 * found[key], 2) for key in published} == published


def test_the_majority_row_is_the_always_negative_predictor_in_every_column():
    rows = metrics.regression_references(SIMS_TEST, SIMS)
    negative = metrics.regression(SIMS_TEST, np.full(457, -1.0), SIMS, warn=False)
    for key in ("acc2", "acc3", "acc5", "f1"):
        assert rows["majority class"][key] == negative[key], key
    classes = POLARITY.truth(SIMS_TEST)
    row = POLARITY.references(classes)["majority class"]
    assert row == POLARITY.measure(classes, np.zeros((457, 1)))
    assert round(100 * row["acc3"], 2) == 54.27


def test_the_reference_rows_of_a_class_task():
    truth = np.array([2, 0, 2, 1, 1, 2, 0])
    rows = POLARITY.references(truth[:, None])
    assert rows["majority class"] == {
        "acc3": pytest.approx(3 / 7),
        "f1": pytest.approx(f1_score(truth, [2] * 7, average="weighted", zero_division=0)),
    }
    assert rows["median score"]["acc3"] == pytest.approx(2 / 7)


def test_every_reference_row_has_every_metric():
    labels = np.linspace(-3, 3, 13)
    rows = metrics.regression_references(labels, MOSI)
    assert list(rows) == ["majority class", "median score"]
    for row in rows.values():
        assert row.keys() == metrics.regression(labels, labels, MOSI).keys()
