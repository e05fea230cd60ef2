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

from pipeline.checks.models import BUILT_IN, DOWNLOAD, HUB, LOCAL, needed
from pipeline.dag.spec import DEFAULT_FILE, Stages
from pipeline.dag.stage import built_in
from pipeline.stage.extractor import Extractor
from pipeline.weights.random_weights import RANDOM
from tests.support import hub

FILES = {
    "own/net": {
        "config.json": b"{}",
        "model.safetensors": b"n" * 5000,
        "pytorch_model.bin": b"n" * 5100,
        "tf_model.h5": b"t" * 5200,
        "onnx/model.safetensors": b"o" * 5300,
        "vocab.txt": b"a",
        "tokenizer_config.json": b"{}",
        "README.md": b"---\nlicense: mit\n---\nA net.",
        "pretty.png": b"p" * 9000,
    },
    "own/sharded": {
        "config.json": b"{}",
        "model.safetensors.index.json": b'{"weight_map": {"a": "model-00001-of-00002.safetensors",'
        b' "b": "model-00002-of-00002.safetensors"}}',
        "model-00001-of-00002.safetensors": b"1" * 100,
        "model-00002-of-00002.safetensors": b"2" * 100,
        "pytorch_model.bin": b"n" * 210,
        "preprocessor_config.json": b"{}",
    },
    "own/older": {"config.json": b"{}", "pytorch_model.bin": b"o" * 60, "spiece.model": b"p"},
    "own/chinese": {"config.json": b"{}", "model.safetensors": b"c" * 70, "tokenizer.json": b"{}"},
    "own/bare": {"config.json": b"{}"},
    "own/wordless": {"config.json": b"{}", "model.safetensors": b"w" * 80},
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
    command = [
        sys.executable,
        "-c",
        "from model.cli.group import main; main()",
        "models",
        *arguments,
    ]
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
    assert (before["size_bytes"], before["licence"]) == (5005, "mit"), "as the hub says"
    pulled = smp(tmp_path, url, "pull", *where)
    assert pulled.returncode == 0, pulled.stderr
    assert "downloading own/net" in pulled.stderr
    snapshot = tmp_path / "hf/hub/models--own--net/snapshots" / hub.COMMIT
    assert names_in(snapshot) == {
        "config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json", "README.md"
    }  # fmt: skip
    # Without any hub, what is here is told all the same; what is not is not asked for.
    after = smp(tmp_path, NOWHERE, *where, "--json", HF_HUB_OFFLINE="1")
    assert after.returncode == 0
    assert after.models["own/net"] == {
        **before,
        "cached": True,
        "path": str(snapshot),
        "revision": hub.COMMIT,
        "size_bytes": 5005,
    }
    assert after.models["py-feat/face_multitask_v2"]["size_bytes"] == 300
    chinese = smp(tmp_path, NOWHERE, *where, "--language", "zh", HF_HUB_OFFLINE="1")
    [row] = [line for line in chinese.stdout.splitlines() if "own/chinese" in line]
    assert " no " in row
    assert "smp models pull" in chinese.stdout


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_of_several_files_of_the_same_weights_one_is_fetched(url: str, tmp_path: Path) -> None:
    path = stages_file(
        tmp_path,
        audio={},
        wav2vec2={"needs": "audio", "weights": "own/sharded"},
        bert={"weights": "own/older"},
    )
    pulled = smp(tmp_path, url, "pull", "--stages", str(path))
    assert pulled.returncode == 0, pulled.stderr
    snapshots = {
        id: tmp_path / f"hf/hub/models--own--{id}/snapshots" / hub.COMMIT
        for id in ("sharded", "older")
    }
    assert names_in(snapshots["sharded"]) == FILES["own/sharded"].keys() - {"pytorch_model.bin"}
    assert names_in(snapshots["older"]) == FILES["own/older"].keys()


def test_what_lacks_of_a_model_that_is_here_is_told_and_then_fetched(
    url: str, tmp_path: Path
) -> None:
    path = stages_file(tmp_path, bert={"weights": "own/net"})
    where = ["--stages", str(path)]
    smp(tmp_path, url, "pull", *where)
    snapshot = tmp_path / "hf/hub/models--own--net/snapshots" / hub.COMMIT
    (snapshot / "vocab.txt").unlink()  # as where someone loaded the network alone
    told = smp(tmp_path, NOWHERE, *where, HF_HUB_OFFLINE="1").stdout
    assert f"own/net at {snapshot} is missing a vocabulary (tokenizer.json, vocab.txt" in told
    assert " in part " in told
    assert "smp models pull" in told
    after = smp(tmp_path, url, "pull", *where)
    assert after.returncode == 0, after.stderr
    assert (snapshot / "vocab.txt").exists()


def test_a_dataset_says_which_stages_file_and_which_language(url: str, tmp_path: Path) -> None:
    dataset = tmp_path / "sims"
    dataset.mkdir()
    head = "video_id,clip_id,text,label,annotation,mode\n"
    (dataset / "label.csv").write_text(f"{head}v,1,你好,0,,train\n", encoding="utf-8")
    stages_file(dataset, bert={"weights": {"en": "own/net", "zh": "own/chinese"}})
    for more, model in ([], "own/chinese"), (["--language", "en"], "own/net"):
        listed = smp(tmp_path, url, "list", str(dataset), *more, "--json").models
        assert listed.keys() - {"facenet-pytorch/mtcnn"} == {model}
    told = smp(tmp_path, url, "list", str(dataset)).stdout
    assert f"To download what is not here: smp models pull {dataset}" in told
    pulled = smp(tmp_path, url, "pull", str(dataset))
    assert pulled.returncode == 0, pulled.stderr
    assert "downloading own/chinese" in pulled.stderr
    assert "own/net" not in pulled.stderr


def test_what_a_folder_lacks_is_told(tmp_path: Path) -> None:
    local = tmp_path / "net"
    local.mkdir()
    (local / "model.safetensors").write_bytes(b"x")
    path = stages_file(tmp_path, bert={"weights": str(local)})
    done = smp(tmp_path, NOWHERE, "pull", "--stages", str(path))
    assert done.returncode == 1
    [error] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert error.startswith(
        f"Error: {local} is missing a configuration (config.json); a vocabulary ("
    )


def test_one_that_cant_be_fetched_is_told_and_the_others_are_fetched(
    url: str, tmp_path: Path
) -> None:
    path = stages_file(
        tmp_path,
        absent={"extractor": "bert", "weights": "own/absent"},
        bare={"extractor": "bert", "weights": "own/bare"},
        wordless={"extractor": "bert", "weights": "own/wordless"},
        bert={"weights": "own/chinese"},
    )
    done = smp(tmp_path, url, "pull", "--stages", str(path), "--json")
    assert done.returncode == 1
    assert "Error: own/absent: Client error '404 Not Found'" in done.stderr
    assert "Error: own/bare: on the hub it is missing weights (model.safeten" in done.stderr
    assert "Error: own/wordless: on the hub it is missing a vocabulary (token" in done.stderr
    assert [id for id, model in done.models.items() if model["cached"]] == ["own/chinese"]


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, f"the hub at {NOWHERE} can't be reached"),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set, so nothing is downloaded; unset it"),
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
    (local / "config.json").write_text("{}")
    (local / "preprocessor_config.json").write_text("{}")
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
    assert found[str(local)].size_bytes == 14


def test_every_default_model_has_a_note_on_its_licence() -> None:
    for language in ("en", "zh"):
        for stage in Stages.load(DEFAULT_FILE, language):
            about = stage.kind.about
            assert all(source.id in about.licences for source in stage.make().models())


@pytest.mark.parametrize("name", built_in())
def test_an_extractor_that_computes_with_weights_says_from_which_models(name: str) -> None:
    stages = Stages.load(DEFAULT_FILE)
    if name not in stages:
        pytest.skip("not among the default stages")
    extractor = stages[name].make()
    assert bool(extractor.models()) == (type(extractor).weights is not Extractor.weights)
