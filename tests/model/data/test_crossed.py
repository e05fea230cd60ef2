"""Trained on one dataset, tested on another: what has to be the same, and what comes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from model.data.batch import Batch
from model.data.crossed import crossed
from model.data.samples import Samples
from model.data.truth import scored
from model.experiments.compare import comparison
from model.experiments.experiment import conduct
from model.experiments.table import PUBLISHED
from model.metrics import SIMS
from model.training.loop import train
from pipeline.errors import UserError
from tests.model.training.test_loop import QUICK, some_samples

CHANNELS = {"visual": ["resnet18"], "audio": ["mfcc"], "text": ["bert"]}
STAGES = {name: {"fingerprint": name, "random": []} for [name] in CHANNELS.values()}


def corpus(name: str, seed: int = 0, **changed: Any) -> Samples:
    made = replace(some_samples(seed=seed), name=name, channels=CHANNELS)
    return replace(made, provenance={"dataset": name, "stages": STAGES}, **changed)


def longer(batch: Batch, steps: int) -> Batch:
    features = {m: F.pad(x, (0, 0, 0, steps)) for m, x in batch.features.items()}
    return Batch(features, batch.lengths)


def test_it_trains_and_selects_on_one_and_tests_on_the_other() -> None:
    own, other = corpus("own"), corpus("other", 1)
    both = crossed(own, replace(other, batch=longer(other.batch, 3)))
    alone, trained = train(own, QUICK), train(both, QUICK)
    assert both.name == "own-on-other"
    assert trained.curve == alone.curve
    expected = alone.predictor.predict(other.split("test").batch)
    np.testing.assert_allclose(trained.predictions["test"], expected, atol=1e-6)
    assert np.array_equal(both.split("test").labels, other.split("test").labels)
    no_test = own.only(own.splits != "test")
    assert torch.equal(crossed(no_test, other).batch.lengths["text"], both.batch.lengths["text"])


def test_a_comparison_names_both_and_shows_no_published_rows(tmp_path: Path) -> None:
    both = crossed(corpus("own"), corpus("other", 1))
    given = {"epochs": 1, "device": "cpu"}
    made = conduct(comparison(both, ["lf_dnn"], None, given), both, [0], tmp_path)
    assert made.folder.name == "own-on-other-compare-regression"
    assert "note: trained and selected on own, tested on other" in made.table.notes
    assert PUBLISHED not in {row.kind for row in made.table.rows}


def without_text(samples: Samples) -> Samples:
    kept = ("visual", "audio")
    features = {m: samples.batch.features[m] for m in kept}
    batch = Batch(features, {m: samples.batch.lengths[m] for m in kept})
    return replace(samples, batch=batch, channels={m: CHANNELS[m] for m in kept})


WIDE = {"visual": 6, "audio": 5, "text": 9}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without_text, "stages text differ: bert in own and none in other"),
        (
            lambda s: replace(s, channels={**CHANNELS, "text": ["tencent"]}),
            "stages text differ: bert in own and tencent in other",
        ),
        (
            lambda s: replace(
                s, provenance={"stages": {**STAGES, "bert": {"fingerprint": "another"}}}
            ),
            "the settings or weights behind bert differ: bert in own and another in other",
        ),
        (
            lambda s: replace(
                s,
                batch=Batch(
                    {m: F.pad(x, (0, WIDE[m] - x.shape[-1])) for m, x in s.batch.features.items()},
                    s.batch.lengths,
                ),
            ),
            "widths text differ: 4 in own and 9 in other",
        ),
        (
            lambda s: replace(s, targets=scored(SIMS)),
            r"targets label differ: score \(-3.0, 3.0\) in own and score \(-1.0, 1.0\) in other",
        ),
        (
            lambda s: replace(s, targets=scored(s.scale, "T")),
            "targets label differ: ",
        ),
        (lambda s: s.only(s.splits != "test"), "other: the test split has no labelled clip"),
    ],
)
def test_what_is_not_the_same_is_told_with_both_values(change: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        crossed(corpus("own"), change(corpus("other", 1)))
