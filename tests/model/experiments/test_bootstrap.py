"""Resampled metrics are the metrics of the resample; tests find differences and no others."""

from __future__ import annotations

import numpy as np
import pytest

from model.data.truth import scored
from model.experiments import bootstrap
from model.experiments.bootstrap import Answers, holm, interval, p_value, resampled
from model.metrics import MOSI, SIMS, Scale, regression
from model.objectives.choose import Task, objective_of
from model.objectives.score import Score

CLIPS = 60
ON_MOSI, ON_SIMS = (Score(name="label", scale=scale) for scale in (MOSI, SIMS))


def scores(scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    """True ones, some of them 0, and predictions that go beyond the scale."""
    random = np.random.default_rng(5)
    truth = np.round(random.uniform(scale.low, scale.high, (CLIPS, 1)), 1)
    truth[:5] = 0
    return truth, truth + scale.high * random.normal(size=(CLIPS, 1)) / 2


@pytest.mark.parametrize("scale", [MOSI, SIMS], ids=lambda scale: scale.name)
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_weighting_gives_the_metrics_of_the_clips_that_it_repeats(
    task: Task, scale: Scale
) -> None:
    objective = objective_of(scored(scale), task)
    truth, predicted = map(objective.truth, scores(scale))
    sums = objective.sums(truth, predicted)
    counts = np.random.default_rng(6).multinomial(CLIPS, np.full(CLIPS, 1 / CLIPS), 20)
    found = bootstrap._measured(counts.astype(float), sums)
    for i, own in enumerate(counts):
        true, said = (np.repeat(values, own, axis=0) for values in (truth, predicted))
        expected = objective.measure(true, said, warn=False)
        assert {key: values[i] for key, values in found.items()} == pytest.approx(expected)


def test_a_constant_prediction_has_no_correlation_to_resample() -> None:
    truth, _ = scores(SIMS)
    (row,) = resampled([Answers(np.arange(CLIPS), np.zeros((1, CLIPS, 1)))], truth, ON_SIMS)
    assert np.isnan(row["corr"]).all()
    assert np.isnan(interval(row["corr"])).all()
    assert np.isnan(p_value(row["corr"] - row["corr"]))


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    truth, predicted = scores(MOSI)
    (row,) = resampled([Answers(np.arange(CLIPS), predicted[None])], truth, ON_MOSI)
    errors = np.abs(truth - predicted)
    reach = 1.96 * errors.std() / np.sqrt(CLIPS)
    assert interval(row["mae"]) == pytest.approx(
        (errors.mean() - reach, errors.mean() + reach), abs=0.1 * reach
    )


def test_seeds_that_differ_widen_the_interval() -> None:
    truth, predicted = scores(MOSI)
    clips = np.arange(CLIPS)
    apart = np.stack([predicted + shift for shift in (-1, 0, 1)])
    answers = [Answers(clips, np.stack([predicted] * 3)), Answers(clips, apart)]
    same, varied = (interval(r["corr"]) for r in resampled(answers, truth, ON_MOSI))
    assert varied == pytest.approx(same)  # which no shift changes
    same, varied = (interval(r["acc2"]) for r in resampled(answers, truth, ON_MOSI))
    assert varied[1] - varied[0] > 1.1 * (same[1] - same[0])


def test_pairing_finds_what_is_small_beside_the_spread_of_clips() -> None:
    truth, predicted = scores(MOSI)
    clips = np.arange(CLIPS)
    nearer = predicted - 0.05 * np.sign(predicted - truth)
    better, worse = resampled(
        [Answers(clips, nearer[None]), Answers(clips, predicted[None])], truth, ON_MOSI
    )
    assert interval(better["mae"])[1] > interval(worse["mae"])[0]
    assert p_value(better["mae"] - worse["mae"]) < 0.001
    assert p_value(worse["mae"] - worse["mae"]) == 1


def test_rows_that_are_equally_good_seldom_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "RESAMPLES", 400)
    monkeypatch.setattr(bootstrap, "AT_ONCE", 400)
    clips, found, random = np.arange(100), 0, np.random.default_rng(5)
    for _ in range(100):
        truth, a, b = random.normal(size=(3, 100, 1))
        answers = [Answers(clips, own[None]) for own in (truth + a, truth + b)]
        one, other = resampled(answers, truth, ON_MOSI)
        found += p_value(one["mae"] - other["mae"]) < 0.05
    assert 1 <= found <= 14


def test_a_row_of_fewer_clips_is_measured_on_those() -> None:
    truth, predicted = scores(SIMS)
    own = np.arange(0, CLIPS, 2)
    (row,) = resampled([Answers(own, predicted[None, own])], truth, ON_SIMS)
    expected = regression(truth[own, 0], predicted[own, 0], SIMS)
    assert row["mae"].mean() == pytest.approx(expected["mae"], abs=0.01)


def test_holm_adjusts_step_by_step() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": float("nan")}) == pytest.approx(
        {"a": 0.03, "c": 0.06, "b": 0.06}
    )
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1, "b": 1}
