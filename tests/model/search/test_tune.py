"""A search: what it may change, what it reads, how it goes on, and who takes what it found."""

from __future__ import annotations

import csv
import fcntl
import json
import sys
from contextlib import suppress
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner, Result

from model.cli.group import main
from model.data.samples import Samples
from model.experiments.table import MODEL
from model.networks import names
from model.registry import build
from model.search import study, tune
from model.search.found import Budget, Found
from model.search.study import FAILED, FINISHED, STOPPED
from model.training import presets, space
from model.training.given import nested
from model.training.presets import preset
from model.training.space import Range, Value, space_of, values_of
from pipeline.errors import UserError
from tests.conftest import Transcripts
from tests.model.training.test_loop import some_samples
from tests.model.training.test_untested import without_test
from tests.support.processes import child, smp, wait_until

QUICK = {"epochs": 2, "device": "cpu"}
WIDTHS = {"visual": 7, "audio": 6, "text": 5}
DRAWS = 8


def drawn(values: Range | list[Value], draw: Random) -> Value:
    if not isinstance(values, Range):
        return draw.choice(values)
    if values.is_whole:
        return draw.randint(int(values.low), int(values.high))
    return draw.uniform(values.low, values.high)


@pytest.fixture(autouse=True)
def few_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "FINALISTS", 1)
    monkeypatch.setattr(tune, "SEEDS", 2)


def searched(samples: Samples, folder: Path, trials: int = 2, **given: Any) -> Found:
    budget = Budget(trials, given.pop("seconds", inf))
    return tune.tune(samples, preset("lf_dnn", "mosi"), QUICK | given, budget, folder)


class TestSpace:
    @pytest.mark.parametrize("name", names())
    def test_a_models_space_holds_the_settings_of_its_first_preset(self, name: str) -> None:
        assert presets.SPACE in presets.content(name)[1]
        for scale in ("mosi", "sims"):
            found = preset(name, scale)
            own = space_of(found, {})
            assert values_of(found.settings, own).keys() == own.keys()

    @pytest.mark.parametrize("name", names())
    def test_whatever_is_drawn_from_a_models_space_builds_it(self, name: str) -> None:
        found, draw = preset(name, "mosi"), Random(0)
        own = space_of(found, {})
        for _ in range(DRAWS):
            values = {setting: drawn(values, draw) for setting, values in own.items()}
            build(name, WIDTHS, 1, found.with_options(nested(values)).network)

    def test_what_is_given_is_not_searched(self) -> None:
        found = preset("lf_dnn", "mosi")
        own = space_of(found, {"lr": 1e-3, "network": {"hidden": {"audio": 16}}})
        assert "network.hidden.text" in own
        assert not own.keys() & {"lr", "network.hidden.audio"}

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"lr": {"low": 1, "high": 0.1}}, "space lr: .*low is below high"),
            ({"lr": {"low": 0.0, "high": 0.1, "log": True}}, "space lr: .*above 0 where log"),
            ({"network.fusoin": [1]}, "lf_dnn has no setting 'network.fusoin'"),
            ({"network.fusion": ["x"]}, "setting network.fusion x"),
            ({"batch": [64, 0]}, "setting batch 0"),
            ({"seed": [1, 2]}, "seed is not for a search to choose"),
            ({"epohcs": [1, 2]}, "epohcs is not for a search to choose"),
            ([1], "space"),
        ],
    )
    def test_a_space_that_is_none_is_told(
        self, wrong: Any, told: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(presets, "content", lambda model: (Path("mine.yaml"), {"space": wrong}))
        with pytest.raises(UserError, match=told):
            space_of(preset("lf_dnn", "mosi"), {})

    def test_a_model_without_a_space_has_that_of_any_training(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = preset("lf_dnn", "mosi")
        monkeypatch.setattr(presets, "content", lambda model: (Path("mine.yaml"), {}))
        assert space_of(found, {}) == space.COMMON


class TestSearch:
    def test_the_first_trial_is_the_preset_and_the_best_on_average_is_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tune, "FINALISTS", 2)
        found = searched(some_samples(), tmp_path, 4)
        own = preset("lf_dnn", "mosi").with_options(QUICK)
        assert found.tried[0].values == values_of(own, found.space)
        assert [one.number for one in found.tried] == [0, 1, 2, 3]
        means = [one.value for one in found.finalists]
        assert means == sorted(means)
        assert found.finalists[0].value == pytest.approx(np.mean(found.finalists[0].by_seed))
        by_trial = sorted(found.tried, key=lambda one: one.value)
        expected = {0, *(one.number for one in by_trial[:2])}
        assert {one.tried.number for one in found.finalists} == expected
        assert values_of(found.settings, found.space) == dict(found.finalists[0].tried.values)
        assert found.settings.epochs == 2

    def test_the_test_split_is_not_read(self, tmp_path: Path) -> None:
        samples = some_samples()
        spoilt = some_samples()
        is_test = torch.from_numpy(spoilt.splits == "test")
        for x in spoilt.batch.features.values():
            x[is_test] = float("nan")
        spoilt.labels[is_test.numpy()] = float("nan")
        without = samples.only(samples.splits != "test")
        given = [samples, spoilt, without]
        found = [searched(one, tmp_path / str(i), 1) for i, one in enumerate(given)]
        assert found[0].finalists[0].by_seed == found[1].finalists[0].by_seed
        assert found[0].finalists[0].by_seed == found[2].finalists[0].by_seed

    def test_classes_are_searched_by_their_accuracy(self, tmp_path: Path) -> None:
        found = searched(without_test(some_samples()), tmp_path, task="classification")
        assert found.lead == "acc3"
        finished = [one.value for one in found.tried]
        assert found.finalists[0].tried.value == max(finished)

    def test_it_goes_on_where_it_was_and_other_features_are_another_search(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        samples = some_samples()
        first = searched(samples, tmp_path)
        more = searched(samples, tmp_path, 3)
        assert more.tried[:2] == first.tried
        assert len(more.tried) == 3
        monkeypatch.setattr(tune, "train_all", lambda *given: list(given[2]))  # trains nothing
        with next(tmp_path.rglob("trials.log")).open("a") as journal:
            journal.write('{"op_code":4,')  # as of a process that was killed amid a line
        again = searched(samples, tmp_path, 3)
        assert again.tried == more.tried
        assert again.finalists == more.finalists
        with pytest.raises(UserError, match="no trial came to its end"):
            searched(some_samples(seed=1), tmp_path, 0)

    def test_a_trial_may_be_stopped_or_fail_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rates = [1e-3, 2e-3, 1e30]
        monkeypatch.setattr(tune, "space_of", lambda *given: {"lr": rates})
        first = lambda self, values: [self._study.enqueue_trial({"lr": x}) for x in rates]  # noqa: E731
        monkeypatch.setattr(study.Study, "first_try", first)
        hopeless = lambda self, trial, epoch, value: trial.number == 1  # noqa: E731
        monkeypatch.setattr(study.Study, "is_hopeless", hopeless)
        found = searched(some_samples(), tmp_path, 3)
        assert [one.state for one in found.tried] == [FINISHED, STOPPED, FAILED]
        assert "the loss is not finite" in found.tried[2].why

    def test_what_falls_behind_the_median_is_hopeless_after_a_while(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(study, "AT_RANDOM", 1)
        made = study.Study(tmp_path / "trials.log", {}, {"batch": [8, 16]}, True, 0)
        for value, expected in ((1.0, False), (2.0, True)):
            trial = made.ask()
            hopeless = [made.is_hopeless(trial, epoch, value) for epoch in range(1, 8)]
            assert not any(hopeless[: study.WARM_UP - 1])
            assert hopeless[-1] == expected
            made.finish(trial, value)

    def test_time_is_a_limit_too_over_all_calls(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="give a larger budget"):
            searched(some_samples(), tmp_path / "none", seconds=0.0)
        long = searched(some_samples(), tmp_path, 2)
        assert searched(some_samples(), tmp_path, 9, seconds=1e-3).tried == long.tried

    def test_a_space_of_which_all_is_given_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(presets, "content", lambda model: (Path(), {"space": {"lr": [1e-3]}}))
        with pytest.raises(UserError, match="nothing to search"):
            searched(some_samples(), tmp_path, lr=1e-3)

    def test_without_optuna_it_says_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "optuna", None)
        with pytest.raises(UserError, match=r'pip install "smp-sentiment\[tune\]"'):
            searched(some_samples(), tmp_path)

    def test_whole_numbers_and_ratios_stay_what_they_are(self) -> None:
        of = study._distribution
        assert (whole := of(Range(low=1, high=4))).high == 4
        assert type(whole).__name__ == "IntDistribution"
        assert of(Range(low=1e-4, high=1.0, log=True)).log
        assert study.as_tried({"lr": 0.00123456, "batch": 64}) == {"lr": 0.00123, "batch": 64}


def finished(file: Path) -> int:
    """How many trials a journal has as finished."""
    return file.read_text().count('"state":1') if file.exists() else 0


def is_free(lock: Path) -> bool:
    """Whether no process has hold of a folder."""
    with lock.open("a") as file, suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


class TestCommand:
    def run(self, command: str, talks: Transcripts, runs: Path, *options: str) -> Result:
        where = ["--cache", talks.cache_root, "--runs", str(runs), "--device", "cpu"]
        return CliRunner().invoke(main, [command, str(talks.folder), *where, *options])

    def test_what_it_found_is_trained_and_compared_with(
        self, lettered_talks: Transcripts, tmp_path: Path
    ) -> None:
        small = ["--model", "lf_dnn", "--trials", "2", "--epochs", "2"]
        done = self.run("tune", lettered_talks, tmp_path, *small)
        assert done.exit_code == 0, done.output
        folder = tmp_path / "talks-tune-lf_dnn-regression"
        assert f"written: {folder}/settings.yaml and search.html" in done.output
        assert "found: the best of 2 trials of lf_dnn on the validation split" in done.output
        settings = yaml.safe_load((folder / "settings.yaml").read_text())
        with (folder / "trials.csv").open() as file:
            assert len(list(csv.DictReader(file))) == 2
        about = json.loads((folder / "search.json").read_text())
        assert about["settings"] == settings
        use = ["--settings", str(folder / "settings.yaml")]
        trained = self.run("train", lettered_talks, tmp_path, "--model", "lf_dnn", *use)
        assert trained.exit_code == 0, trained.output
        recorded = json.loads((tmp_path / "talks-lf_dnn-seed0" / "settings.json").read_text())
        assert {**recorded["train"], **settings} == recorded["train"]
        one = ["--models", "lf_dnn", "--seeds", "1"]
        assert self.run("compare", lettered_talks, tmp_path, *one, *use).exit_code == 0
        page = (folder / "search.html").read_text()
        for word in ("Finished trials, finalists strong", "hidden.audio", "Validation MAE"):
            assert word in page

    def test_tuned_models_are_compared_on_the_same_budget(
        self, lettered_talks: Transcripts, tmp_path: Path
    ) -> None:
        options = ["--models", "lf_dnn,ef_lstm", "--seeds", "1", "--epochs", "1", "--trials", "1"]
        compared = ["compare", lettered_talks, tmp_path, "--tuned", *options, "--budget", "10m"]
        done = self.run(*compared)  # type: ignore[arg-type]
        assert done.exit_code == 0, done.output
        assert "best of 1 trials within 10 minutes on the validation split" in done.output
        about = json.loads(
            (tmp_path / "talks-compare-tuned-regression/experiment.json").read_text()
        )
        rows = [row for row in about["rows"] if row["kind"] == MODEL]
        assert [row["settings"]["epochs"] for row in rows] == [1, 1]
        for model in ("lf_dnn", "ef_lstm"):
            assert (tmp_path / f"talks-tune-{model}-regression" / "search.html").exists()

    def test_a_killed_search_goes_on(self, lettered_talks: Transcripts, tmp_path: Path) -> None:
        small = ["--model", "lf_dnn", "--epochs", "3", "--device", "cpu"]
        where = ["--cache", lettered_talks.cache_root, "--runs", str(tmp_path)]
        command = ["tune", str(lettered_talks.folder), *where, *small]
        file = tmp_path / "talks-tune-lf_dnn-regression" / "trials.log"
        with child(*smp(*command, "--trials", "1000")) as process:
            wait_until(lambda: finished(file), process)
        wait_until(lambda: is_free(file.with_name(".lock")))  # its children end a moment later
        before = finished(file)
        assert before
        done = CliRunner().invoke(main, [*command, "--trials", str(before + 3), "--json"])
        assert done.exit_code == 0, done.output
        about = json.loads(done.stdout)
        assert len(about["trials"]) >= before + 3
        assert len(json.loads((file.parent / "search.json").read_text())["trials"]) >= before + 3

    @pytest.mark.parametrize("wrong", ["30", "m", "1.5h", "-3m", "3d"])
    def test_a_budget_is_a_duration(self, wrong: str) -> None:
        done = CliRunner().invoke(main, ["tune", "talks", "--budget", wrong])
        assert done.exit_code == 2
        assert "is no duration such as 90s, 30m or 2h" in done.output
