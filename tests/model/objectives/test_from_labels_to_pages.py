"""Classes, labels and several targets through every command; invented labels on made features."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from model.cli.group import main
from model.runs.run import Run
from pipeline.runner.extract import RunOptions, extract
from pipeline.runner.serial import run_serially

SPLITS = ("train", "train", "valid", "test")
EMOTIONS = ("angry", "sad", "happy")
DECLARED = """
emotion: {kind: classes, classes: [angry, sad, happy]}
emotions: {kind: labels, range: [0, 3], columns: [label_angry, label_sad, label_happy]}
valence: {range: [1, 5]}
"""
QUICK = ("--epochs", "2", "--device", "cpu", "--model", "lf_dnn")


def made(folder: Path, clips: int = 48) -> Path:
    """A manifest with all kinds of labels, which follow the letter; some missing, some absurd."""
    (folder / "targets.yaml").write_text(DECLARED)
    with (folder / "talks.csv").open("w", newline="") as file:
        names = ["id", "text", "split", "class_emotion", "label_valence"]
        rows = csv.writer(file)
        rows.writerow([*names, *(f"label_{name}" for name in EMOTIONS)])
        for i in range(clips):
            kind = i // 4 % 3
            said = "xxx" if i == 5 else EMOTIONS[kind]
            valence = -10 if i == 6 else "" if i == 7 else 1 + kind * 2
            present = [2.0 * (kind == other) for other in range(3)]
            text = "abc"[kind] * (1 + i % 7)
            rows.writerow([f"clip{i}", text, SPLITS[i % 4], said, valence, *present])
    stage = {"extractor": "tests.support.toys.letters"}
    spec = {"partition": 16, "stages": {"bert": stage}}
    (folder / "stages.yaml").write_text(json.dumps(spec))
    cache = str(folder / "cache")
    where = folder / "talks.csv", folder / "stages.yaml", run_serially, cache
    extract(*where, RunOptions())
    return folder


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("kinds"))


def smp(folder: Path, command: str, *options: str) -> str:
    given = ["--cache", str(folder / "cache"), "--runs", str(folder / "runs"), *options]
    done = CliRunner().invoke(
        main, [command, str(folder / "talks.csv"), *given], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.stdout


def trained(folder: Path, target: str, *options: str) -> Any:
    chosen = ("--target", target) if target else ()
    return json.loads(smp(folder, "train", *chosen, *QUICK, *options, "--json"))


KEYS = {
    "": {"acc", "f1", "f1_macro", "uar"},
    "valence": {"mae", "corr", "ccc"},
    "emotions": {"wacc", "f1", *(f"{n}.{m}" for n in EMOTIONS for m in ("wacc", "f1"))},
}
KEYS["all"] = {
    f"{name}.{key}"
    for name, target in (("emotion", ""), ("emotions", "emotions"), ("valence", "valence"))
    for key in KEYS[target]
}


@pytest.mark.parametrize("target", KEYS)
def test_a_target_is_trained_measured_and_predicted(talks: Path, target: str) -> None:
    told = trained(talks, target)
    assert told["test"].keys() == KEYS[target]
    assert any("linear probe" in row for row in told["references"])
    run = Run.read(Path(told["run"]))
    assert run.target == (target or "emotion")
    predict = ["predict", told["run"], str(talks / "talks.csv"), "--trust"]
    listed = CliRunner().invoke(main, [*predict, "--json"])
    assert listed.exit_code == 0, listed.output
    shown = CliRunner().invoke(main, predict)
    assert shown.exit_code == 0, shown.output
    columns = shown.stdout.splitlines()[2].split()
    assert ("score" in columns) == (target in ("valence", "all"))
    assert ("target" in columns) == (target == "all")
    said = json.loads(listed.stdout)["predictions"][0]
    if target == "valence":
        assert isinstance(said["score"], float)
        assert said["sentiment"] is None
    else:
        assert said["probabilities"].keys() == set(EMOTIONS)
    assert set(said["others"]) == ({"emotions", "valence"} if target == "all" else set())


def test_values_that_no_target_takes_are_missing_and_told(talks: Path) -> None:
    told = trained(talks, "")
    assert sum(split["clips"] for split in told["splits"].values()) == 47
    assert "1 of 48 clips have no label and are left out" in told["notes"]
    of_valence = trained(talks, "valence")
    assert "2 of 48 clips have no label and are left out" in of_valence["notes"]
    everything = trained(talks, "all")
    assert sum(split["clips"] for split in everything["splits"].values()) == 48


def test_weights_of_targets_are_settings(talks: Path) -> None:
    even = trained(talks, "all")
    other = trained(talks, "all", "--set", "target_weights.valence=9")
    settings = json.loads((Path(other["run"]) / "settings.json").read_text())
    assert settings["train"]["target_weights"] == {"valence": 9}
    assert even["test"] != other["test"]
    refused = CliRunner().invoke(
        main,
        [
            "train",
            str(talks / "talks.csv"),
            "--cache",
            str(talks / "cache"),
            "--runs",
            str(talks / "runs"),
            *QUICK,
            "--set",
            "target_weights.joy=2",
        ],
    )
    assert refused.exit_code == 2
    assert "target_weights: no target joy is trained; only emotion" in refused.output


def test_models_are_compared_by_every_kind(talks: Path) -> None:
    for target, lead in (("", "F1"), ("all", "emotion F1")):
        options = ("--target", target) if target else ()
        table = smp(talks, "compare", *options, *QUICK[:4], "--models", "lf_dnn,ef_lstm",
                    "--seeds", "2")  # fmt: skip
        assert lead in " ".join(table.split())
        assert max(map(len, table.partition("The model and")[0].splitlines()[1:])) < 140
    assert (talks / "runs" / "talks-compare-emotion").is_dir()


def test_a_report_shows_them_all(talks: Path) -> None:
    for target in KEYS:
        trained(talks, target)
    out = talks / "report.html"
    smp(talks, "report", "--output", str(out))
    page = out.read_text()
    for heading in ("macro F1", "UAR", "CCC", "happy WAcc", "emotion F1"):
        assert heading in page
    assert "labelled with" in page
