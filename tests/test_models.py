"""`smp models`: what the stages need, what is here, and how it is fetched from a small hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.extractor import Extractor
from pipeline.models import BUILT_IN, DOWNLOAD, HUB, LICENCES, LOCAL, needed
from pipeline.stages import DEFAULT_FILE, Stages
from pipeline.weights import RANDOM
from tests import hub
from tests.test_structure import EXTRACTORS

FILES = {
    "own/net": {
        "config.json": b"{}",
        "model.safetensors": b"n" * 5000,
        "README.md": b"---\nlicense: mit\n---\nA net.",
        "pretty.png": b"p" * 9000,
    },
    "own/chinese": {"config.json": b"{}", "model.safetensors": b"c" * 70},
    "own/bare": {"config.json": b"{}"},
    "py-feat/face_multitask_v2": {"face_multitask_v28.safetensors": b"f" * 300},
}
NOWHERE = "http://127.0.0.1:9"  # the port of "discard", where nobody listens


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with hub.serving(FILES) as url:
        yield url


def stages_file(folder: Path, **stages: Any) -> Path:
    path = folder / "stages.yaml"
    path.write_text(yaml.safe_dump({"stages": {"frames": {}, **stages}}))
    return path


def smp(folder: Path, endpoint: str, *arguments: str, **variables: str) -> Any:
    """Run `smp models` with a hub and an empty home; its answer, and of JSON the models by id."""
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "hf"), **variables}
    home = {"XDG_CACHE_HOME": str(folder / "home"), "TORCH_HOME": str(folder / "torch")}
    command = [sys.executable, "-c", "from model.cli import main; main()", "models", *arguments]
    environment = {**os.environ, **home, **settings}
    environment.pop("HF_HUB_CACHE", None)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if "--json" in arguments:
        done.models = {model["id"]: model for model in json.loads(done.stdout)["models"]}  # type: ignore[attr-defined]
    return done


def test_what_is_pulled_is_what_is_needed_and_then_it_is_here(url: str, tmp_path: Path) -> None:
    path = stages_file(
        tmp_path,
        faces={"needs": "frames"},
        action_units={"needs": ["frames", "faces"]},
        bert={"weights": {"en": "own/net", "zh": "own/chinese"}},
    )
    where = ["--stages", str(path)]
    before = smp(tmp_path, url, *where, "--json").models["own/net"]
    assert not before["cached"]
    assert (before["size_bytes"], before["licence"]) == (5002, "mit"), "as the hub says"
    pulled = smp(tmp_path, url, "pull", *where)
    assert pulled.returncode == 0, pulled.stderr
    assert "fetching own/net" in pulled.stderr
    snapshot = tmp_path / "hf/hub/models--own--net/snapshots" / hub.COMMIT
    assert {p.name for p in snapshot.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    # Without any hub, what is here is told all the same; what is not is not asked for.
    after = smp(tmp_path, NOWHERE, *where, "--json", HF_HUB_OFFLINE="1")
    assert after.returncode == 0
    assert after.models["own/net"] == {
        **before,
        "cached": True,
        "path": str(snapshot),
        "revision": hub.COMMIT,
        "size_bytes": 5002,
    }
    assert after.models["py-feat/face_multitask_v2"]["size_bytes"] == 300
    chinese = smp(tmp_path, NOWHERE, *where, "--language", "zh", HF_HUB_OFFLINE="1")
    [row] = [line for line in chinese.stdout.splitlines() if "own/chinese" in line]
    assert " no " in row
    assert "smp models pull" in chinese.stdout


def test_one_that_cant_be_fetched_is_told_and_the_others_are_fetched(
    url: str, tmp_path: Path
) -> None:
    path = stages_file(
        tmp_path,
        absent={"extractor": "bert", "weights": "own/absent"},
        bare={"extractor": "bert", "weights": "own/bare"},
        bert={"weights": "own/chinese"},
    )
    done = smp(tmp_path, url, "pull", "--stages", str(path), "--json")
    assert done.returncode == 1
    assert "Error: own/absent: Client error '404 Not Found'" in done.stderr
    assert "Error: own/bare: the hub has no weights in it" in done.stderr
    assert [id for id, model in done.models.items() if model["cached"]] == ["own/chinese"]


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, f"the hub at {NOWHERE} can't be reached"),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set, so the hub is not asked; unset it"),
    ],
)
def test_a_hub_out_of_reach_is_one_clear_line(
    tmp_path: Path, variables: dict[str, str], told: str
) -> None:
    path = stages_file(tmp_path, bert={"weights": "own/net"})
    done = smp(tmp_path, NOWHERE, "pull", "--stages", str(path), **variables)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert told in errors[0]
    assert "Traceback" not in done.stderr


def test_every_kind_of_model_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    local = tmp_path / "net"
    local.mkdir()
    (local / "model.safetensors").write_bytes(b"x" * 10)
    path = stages_file(
        tmp_path,
        faces={"needs": "frames"},
        resnet18={"needs": "faces"},
        again={"extractor": "resnet18", "needs": "faces", "input_px": 64},
        audio={},
        wav2vec2={"needs": "audio", "weights": str(local)},
        words={"extractor": "bert", "weights": "own/net", "revision": "v2"},
        bert={"weights": "random"},
    )
    found = {model.source.id: model for model in needed(Stages.load(path), ask=False)}
    kinds = {id: (model.kind, model.is_here) for id, model in found.items()}
    assert kinds == {
        "facenet-pytorch/mtcnn": (BUILT_IN, True),
        "imagenet": (DOWNLOAD, False),
        str(local): (LOCAL, True),
        "own/net": (HUB, False),
        "random": (RANDOM, True),
    }
    assert set(found["imagenet"].stages) == {"resnet18", "again"}, "what two need is one"
    assert found["own/net"].revision == "v2"
    assert found[str(local)].size_bytes == 10


def test_every_default_model_has_a_note_on_its_licence() -> None:
    for language in ("en", "zh"):
        for stage in Stages.load(DEFAULT_FILE, language):
            assert all(source.id in LICENCES for source in stage.make().models())


@pytest.mark.parametrize("name", [path.stem for path in EXTRACTORS])
def test_an_extractor_that_computes_with_weights_says_from_which_models(name: str) -> None:
    stages = Stages.load(DEFAULT_FILE)
    if name not in stages:
        pytest.skip("not among the default stages")
    extractor = stages[name].make()
    assert bool(extractor.models()) == (type(extractor).weights is not Extractor.weights)
