"""Curves over clips and over what is missing: what is taken away, what is trained, what is told."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from model.cli.group import main
from model.data.batch import Batch
from model.data.missing import ANY, STEPS, Missing
from model.metrics import regression
from model.robustness import curves, folder, page
from model.robustness.curves import AT_TEST, AT_TRAINING, CLIPS, KINDS, Robustness, part, robustness
from model.training.loop import train
from model.training.presets import preset
from pipeline.errors import UserError
from tests.conftest import Transcripts
from tests.model.training.test_loop import some_samples
from tests.model.training.test_untested import without_test

CLIPS_200 = some_samples(200).batch


def has(batch: Batch) -> torch.Tensor:
    """Bool [modalities, clips]."""
    return torch.stack([lengths > 0 for lengths in batch.lengths.values()])


class TestMissing:
    @pytest.mark.parametrize("what", ["text", ANY])
    def test_modalities_are_lost_as_often_as_said_and_never_the_last(self, what: str) -> None:
        before = has(CLIPS_200)
        for share in (0.0, 0.5, 0.9):
            after = has(Missing(what, share).of(CLIPS_200))
            assert not (after & ~before).any()
            assert torch.equal(after.any(0), before.any(0))
            others = [i for i, m in enumerate(CLIPS_200.lengths) if what not in (ANY, m)]
            assert torch.equal(after[others], before[others])
            could = before & (before.sum(0) > 1)
            lost = (could & ~after)[[i for i in range(3) if i not in others]]
            at_most = 2 / 3 if what == ANY else 1
            expected = min(share, at_most) * could[[i for i in range(3) if i not in others]].sum()
            assert int(lost.sum()) == pytest.approx(int(expected), rel=0.25)

    def test_what_is_gone_stays_gone_at_larger_shares(self) -> None:
        for what in ("text", STEPS):
            less, more = (Missing(what, share).of(CLIPS_200) for share in (0.3, 0.6))
            for m in CLIPS_200.lengths:
                assert (more.lengths[m] <= less.lengths[m]).all()
                assert (more.features[m].isnan() >= less.features[m].isnan()).all()

    def test_a_step_loses_all_its_features_and_its_clip_no_length(self) -> None:
        lost = Missing(STEPS, 0.4).of(CLIPS_200)
        for m, x in lost.features.items():
            gone = x.isnan()
            assert torch.equal(gone.any(-1), gone.all(-1))
            assert float(gone.float().mean()) == pytest.approx(0.4, abs=0.05)
            assert torch.equal(lost.lengths[m], CLIPS_200.lengths[m])
        assert not CLIPS_200.features["text"].isnan().any(), "the clips themselves stay"


def test_parts_of_the_training_clips_are_nested_and_leave_the_other_splits() -> None:
    samples = some_samples()
    quarter, half = part(samples, 0.25), part(samples, 0.5)
    a, b = (set(own.split("train").ids) for own in (quarter, half))
    assert a < b
    assert (len(a), len(b)) == (9, 18)
    for split in ("valid", "test"):
        assert quarter.split(split).ids == samples.split(split).ids


@pytest.fixture
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "OF_CLIPS", (0.5, 1.0))
    monkeypatch.setattr(curves, "LOST", (0.0, 0.4, 0.9))
    monkeypatch.setattr(curves, "LOST_AT_TRAINING", (0.0, 0.9))


def measured(runs: Path, kinds: tuple[str, ...] = KINDS, seeds: int = 1) -> Robustness:
    found = preset("lf_dnn", "mosi")
    settings = found.with_options({"epochs": 3, "device": "cpu"})
    return robustness(some_samples(), found, settings, kinds, range(seeds), runs)


@pytest.mark.usefixtures("few_points")
class TestCurves:
    def test_each_point_is_what_it_says(self, tmp_path: Path) -> None:
        found = measured(tmp_path)
        whole = train(some_samples(), found.settings)
        by = {(curve.kind, curve.what): curve for curve in found.curves}
        assert list(by) == [
            (CLIPS, ""), (AT_TEST, "visual"), (AT_TEST, "audio"), (AT_TEST, "text"),
            (AT_TEST, ANY), (AT_TRAINING, ANY), (AT_TEST, STEPS), (AT_TRAINING, STEPS),
        ]  # fmt: skip
        for (kind, _), curve in by.items():
            own = curve.points[1.0 if kind == CLIPS else 0.0]
            assert own == [whole.metrics["test"]]
        test = some_samples().split("test")
        lost = whole.predictor.predict(Missing("text", 0.9).of(test.batch))
        expected = regression(test.labels, lost, some_samples().scale)
        assert by[AT_TEST, "text"].points[0.9] == [expected]
        fewer = train(part(some_samples(), 0.5), found.settings)
        assert by[CLIPS, ""].points[0.5] == [fewer.metrics["test"]]
        assert by[CLIPS, ""].probe.keys() == {0.5, 1.0}
        spoilt = some_samples()
        lossy = train(replace(spoilt, batch=Missing(STEPS, 0.9).of(spoilt.batch)), found.settings)
        assert by[AT_TRAINING, STEPS].points[0.9] == [lossy.metrics["test"]]

    def test_a_second_run_trains_nothing_and_says_the_same(self, tmp_path: Path) -> None:
        once = measured(tmp_path, (CLIPS, AT_TEST), 2)
        again = measured(tmp_path, (CLIPS, AT_TEST), 2)
        assert (once.trained, again.trained) == (4, 0)
        assert once.curves == again.curves

    def test_the_area_is_that_of_trapezes(self, tmp_path: Path) -> None:
        curve = measured(tmp_path, (AT_TEST,)).curves[0]
        means = curve.means("mae")
        assert curve.area("mae") == pytest.approx(np.trapezoid(means, [0.0, 0.4, 0.9]))

    def test_one_without_a_test_split_is_told(self, tmp_path: Path) -> None:
        found = preset("lf_dnn", "mosi")
        with pytest.raises(UserError, match="made: the test split has no labelled clip"):
            robustness(without_test(some_samples()), found, found.settings, KINDS, [0], tmp_path)

    def test_the_folder_tells_every_point(self, tmp_path: Path) -> None:
        found = measured(tmp_path, (CLIPS, AT_TEST))
        folder.write(found, tmp_path / "out")
        with (tmp_path / "out" / "curves.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 2 * 2 + 5 * 3
        [row] = [r for r in rows if (r["what"], r["share"]) == ("text", "0.9")]
        text = next(curve for curve in found.curves if curve.what == "text")
        assert float(row["mae"]) == text.points[0.9][0]["mae"]
        about = json.loads((tmp_path / "out" / "robustness.json").read_text())
        assert about["curves"][0]["kind"] == CLIPS
        shown = page.render(found)
        for words in ("Fewer clips to learn from", "MAE ↓, text missing", "Area under each curve"):
            assert words in shown


@pytest.mark.usefixtures("few_points")
def test_the_command_measures_and_refuses_unknown_curves(
    lettered_talks: Transcripts, tmp_path: Path
) -> None:
    where = ["--cache", lettered_talks.cache_root, "--runs", str(tmp_path)]
    command = ["robustness", str(lettered_talks.folder), *where, "--model", "lf_dnn"]
    done = CliRunner().invoke(main, [*command, "--seeds", "1", "--epochs", "1"])
    assert done.exit_code == 0, done.output
    assert "2 trainings done; written:" in done.output
    assert (tmp_path / "talks-robustness-lf_dnn-regression" / "robustness.html").exists()
    refused = CliRunner().invoke(main, [*command, "--curves", "clips,fog"])
    assert refused.exit_code == 2
    assert "fog; there are clips, test, training, noise" in refused.output
