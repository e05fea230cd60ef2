"""A dataset without a test split: it is trained on, judged on validation, and says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from model.cli.group import main
from model.data.samples import Samples
from model.training.loop import train
from tests.conftest import Transcripts
from tests.model.conftest import WORDS, lettered
from tests.model.training.test_loop import QUICK, some_samples


def without_test(samples: Samples) -> Samples:
    splits = np.where(samples.splits == "test", "train", samples.splits)
    return replace(samples, splits=splits)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_what_is_judged_is_validation(task: str) -> None:
    samples = without_test(some_samples())
    trained = train(samples, QUICK.model_copy(update={"task": task}))
    assert trained.judged == samples.judged == "valid"
    assert list(trained.metrics) == ["valid"]
    assert list(trained.predictions) == ["train", "valid"]
    assert "median score" in trained.references


def run(command: str, talks: Transcripts, runs: Path, *options: str) -> Result:
    where = ["--cache", talks.cache_root, "--runs", str(runs)]
    return CliRunner().invoke(main, [command, str(talks.folder), *where, *options])


def test_commands_say_so(tmp_path: Path) -> None:
    talks, runs = lettered(tmp_path, WORDS), tmp_path / "runs"
    table = talks.folder / "label.csv"
    table.write_text(table.read_text().replace(",test", ",train"))
    done = run("train", talks, runs, "--epochs", "2", "--tensorboard")
    assert done.exit_code == 0, done.output
    assert "note: there is no test split: results are those on validation" in done.output
    assert "the 10 validation clips" in done.output
    assert "test" not in json.loads((runs / "talks-smp-seed0" / "metrics.json").read_text())
    refused = run("compare", talks, runs)
    assert refused.exit_code
    assert "talks: the test split has no labelled clip" in refused.output
    assert run("report", talks, runs).exit_code == 0
    page = (runs / "talks-report.html").read_text()
    assert "§ There was no test split" in page
    assert "10 validation clips" in page
