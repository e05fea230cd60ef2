"""What is published says what it is, holds nothing of the machine, and comes back whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pyarrow.parquet
import pytest
import torch
import yaml

from model.data.batch import Batch
from model.metrics import ordered, title
from model.publish.place import is_folder
from model.runs import seal
from model.runs.load import load_model
from model.runs.run import Run
from tests.model.publish.conftest import Published
from tests.support.commands import smp


def test_a_pulled_run_is_the_run_that_was_pushed(made: Published, tmp_path: Path) -> None:
    smp("push", made.run, tmp_path / "out")
    smp("pull", tmp_path / "out", "--runs", tmp_path / "runs")
    own, pulled = Run.read(made.run), Run.read(tmp_path / "runs" / made.run.name)
    assert (pulled.metrics, pulled.predictions) == (own.metrics, own.predictions)
    assert pulled.is_sealed
    [width] = load_model(made.run).network.widths.values()
    x, n = torch.randn(4, 32, width), torch.tensor([32, 5, 1, 0])
    batch = Batch({"text": x}, {"text": n})
    one, other = (load_model(run.folder).predict(batch) for run in (own, pulled))
    np.testing.assert_array_equal(one, other)


def test_nothing_published_names_a_path_of_the_machine(made: Published, tmp_path: Path) -> None:
    smp("push", made.run, tmp_path / "run")
    smp("push", made.dataset, tmp_path / "features", "--features", "--cache", made.cache)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 9
    for path in files:
        text = path.read_bytes()
        assert str(made.dataset.parent).encode() not in text, path
        assert str(made.run.parent).encode() not in text, path


def test_the_card_has_the_numbers_their_intervals_and_the_command(
    made: Published, tmp_path: Path
) -> None:
    smp("push", made.run, tmp_path / "out", "--licence", "mit")
    head, _, card = (tmp_path / "out/README.md").read_text()[4:].partition("\n---\n")
    assert yaml.safe_load(head)["license"] == "mit"
    run = Run.read(made.run)
    for key in ordered(run.results):
        assert any(
            line.count("|") >= 4 and (" to " in line or "–" in line)
            for line in card.splitlines()
            if line.startswith(f"| {title(key)} |")
        ), key
    assert f"| MAE ↓ | {run.results['mae']:.3f} |" in card
    assert "smp train talks --model lf_dnn --preset toolkit --epochs 2 --seed 0" in card
    assert "linear probe" in card


def test_the_card_names_the_folder_that_a_pull_makes(made: Published, tmp_path: Path) -> None:
    another = shutil.copytree(made.run, tmp_path / f"{made.run.name}-2")
    smp("push", another, tmp_path / "out")
    smp("pull", tmp_path / "out", "--runs", tmp_path / "runs")
    [pulled] = (tmp_path / "runs").iterdir()
    assert f"smp predict runs/{pulled.name} " in (tmp_path / "out/README.md").read_text()


def test_a_damaged_run_is_neither_pushed_nor_pulled(made: Published, tmp_path: Path) -> None:
    smp("push", made.run, tmp_path / "out")
    weights = tmp_path / "out/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    told = smp("pull", tmp_path / "out", "--runs", tmp_path / "runs", code=2).stderr
    assert "weights.safetensors is damaged" in told
    assert not (tmp_path / "runs" / made.run.name).exists()
    told = smp("push", tmp_path / "out", tmp_path / "again", code=2).stderr
    assert "weights.safetensors is damaged" in told
    assert not (tmp_path / "again").exists()


def test_a_pulled_run_is_kept_within_the_folder_of_runs(made: Published, tmp_path: Path) -> None:
    smp("push", made.run, tmp_path / "out")
    provenance = tmp_path / "out/provenance.json"
    content = json.loads(provenance.read_text())
    provenance.write_text(json.dumps({**content, "dataset": "../../elsewhere"}))
    (tmp_path / "out/seal.json").unlink()
    seal.write(tmp_path / "out")
    assert "leaves the dataset's folder" in smp(
        "pull", tmp_path / "out", "--runs", tmp_path / "a/b/runs", code=2
    ).stderr  # fmt: skip
    assert not list(tmp_path.glob("**/elsewhere*"))


def test_a_folder_that_is_there_is_not_written_over(made: Published, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert "already exists" in smp("push", made.run, tmp_path / "mine", code=2).stderr
    assert "holds no run" in smp("pull", tmp_path / "mine", code=2).stderr


def test_published_features_are_read_by_datasets(made: Published, tmp_path: Path) -> None:
    options = ["--features", "--cache", made.cache, "--without-text"]
    smp("push", made.dataset, tmp_path / "out", *options)
    table = pyarrow.parquet.read_table(tmp_path / "out/train.parquet")
    assert set(table["raw_text"].to_pylist()) == {""}
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in found.items()} == {
        "train": 10, "valid": 10, "test": 10,
    }  # fmt: skip
    assert (
        "features"
        in yaml.safe_load((tmp_path / "out/README.md").read_text().split("---")[1])["tags"]
    )


def test_the_hub_gets_the_folder_that_a_push_to_a_folder_writes(
    made: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    class Hub:
        def create_repo(self, id: str, **options: Any) -> str:
            asked["repository"] = (id, options["repo_type"], options["private"])
            return f"https://hub/{id}"

        def upload_folder(self, repo_id: str, folder_path: Path, **options: Any) -> None:
            asked["files"] = sorted(path.name for path in Path(folder_path).iterdir())

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    assert "https://hub/me/mine" in smp("push", made.run, "me/mine", "--private").stdout
    smp("push", made.run, tmp_path / "out")
    assert asked["repository"] == ("me/mine", "model", True)
    assert asked["files"] == sorted(path.name for path in (tmp_path / "out").iterdir())


def test_the_hubs_refusal_is_one_line(made: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hub:
        def create_repo(self, *_: Any, **__: Any) -> str:
            raise ConnectionError("no way there")

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    told = smp("push", made.run, "me/mine", code=1).stderr
    assert "the hub did not take me/mine: no way there" in told


@pytest.mark.parametrize(
    ("where", "is_one"),
    [("me/mine", False), ("./mine", True), ("/a/b", True), ("mine", True), ("a/b/c", True)],
)
def test_what_looks_like_an_id_of_the_hub_is_one(where: str, is_one: bool) -> None:
    assert is_folder(where) == is_one
