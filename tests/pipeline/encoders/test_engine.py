"""Networks in other engines than torch, held against it."""

import errno
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.encoders import engine, resnet18
from pipeline.encoders.engine import engaged, remembered
from pipeline.errors import UserError
from pipeline.extractors.action_units import ActionUnits
from pipeline.extractors.resnet18 import Resnet18
from pipeline.stage.extractor import Extractor
from pipeline.weights import registry
from tests.support.aligned_faces import clips_of

SHAPE = (4, 3, 32, 32)
ENGINES = [
    pytest.param(name, marks=pytest.mark.skipif(not find_spec(name), reason=f"no {name}"))
    for name in engine.EXTRAS
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache and a process in which nothing has been loaded yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(registry, "_models", {})
    return tmp_path / "smp" / "engines"


def made(of: type[Extractor], name: str) -> Extractor:
    more = {"input_px": 64} if of is Resnet18 else {}
    return of(of.Settings.model_validate({"weights": "random", "engine": name, **more}))


def fake(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Have an engine that converts to an empty file; the files, as they are made."""
    made: list[Path] = []

    def compared(network: object, shape: object, file: Path, name: str) -> tuple[float, float]:
        file.touch()
        made.append(file)
        return 0.0, 2.0

    monkeypatch.setattr(engine, "installed", lambda: {"onnxruntime": "1"})
    monkeypatch.setattr(engine, "_compared", compared)
    monkeypatch.setattr(engine, "_loaded", lambda name, file: file)
    return made


def damage(home: Path, pattern: str) -> Callable[[], None]:
    """Cut what is remembered off in the middle, or remove a network."""

    def act() -> None:
        (file,) = home.glob(pattern)
        file.unlink() if file.suffix == ".onnx" else file.write_text('{"network"')

    return act


@pytest.mark.parametrize("of", [Resnet18, ActionUnits])
@pytest.mark.parametrize("name", ENGINES)
def test_features_are_those_of_torch(of: type[Extractor], name: str) -> None:
    clips = clips_of(1, 4, 2)
    if of is ActionUnits:
        faces = np.random.default_rng(0).integers(0, 256, (5, 256, 256, 3), np.uint8)
        found = [made(of, e).fields(faces)["features"][:, 17:] for e in ("torch", name)]  # type: ignore[attr-defined]
    else:
        found = [
            np.concatenate([r.rows["features"] for r in made(of, e).extract(clips)])
            for e in ("torch", name)
        ]
    np.testing.assert_allclose(found[1], found[0], atol=2e-5)
    (tried,) = remembered()
    assert (tried.engine, tried.error) == (name, "")
    assert 0 <= tried.difference <= engine.AGREEMENT
    assert tried.faster > 0


def test_an_engine_is_no_part_of_a_fingerprint() -> None:
    settings = [made(Resnet18, name).settings for name in ("torch", "auto")]
    assert settings[0].affecting_results() == settings[1].affecting_results()


@pytest.mark.parametrize("name", ENGINES)
def test_a_network_is_converted_once_a_machine(
    name: engine.Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = resnet18.at_random("cpu")
    first = engaged(network, "net", "digest", SHAPE, name)
    monkeypatch.setattr(engine, "_export", None)
    monkeypatch.setattr(engine, "_compared", None)
    again = engaged(network, "net", "digest", SHAPE, name)
    x = torch.rand(9, *SHAPE[1:])
    assert torch.equal(first(x), again(x))
    assert len(list(home.glob("*/network.onnx"))) == 1


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_that_disagrees_is_refused_and_auto_leaves_it_to_torch(
    name: engine.Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine, "AGREEMENT", -1.0)
    monkeypatch.setattr(engine, "installed", lambda: {name: "1"})
    network = resnet18.at_random("cpu")
    with pytest.raises(UserError, match="differs from torch by .*set `engine` to torch or auto"):
        engaged(network, "net", "digest", SHAPE, name)
    assert engaged(network, "net", "digest", SHAPE, "auto") is network
    assert "engine auto: torch computes net: " in caplog.text
    assert "differs from torch" in caplog.text


def test_auto_without_an_engine_or_a_place_for_networks_is_torch_with_a_warning(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = torch.nn.Conv2d(3, 1, 1)
    monkeypatch.setattr(engine, "installed", dict)
    assert engaged(network, "net", "d", SHAPE, "auto") is network
    assert "no other engine is installed" in caplog.text
    home.parent.mkdir()
    home.write_text("in the way")
    monkeypatch.setattr(engine, "installed", lambda: {"onnxruntime": "1"})
    assert engaged(network, "net", "d", SHAPE, "auto") is network
    assert str(home) in caplog.text
    with pytest.raises(UserError, match=r"engine 'onnxruntime' can't be used for net: .*; set"):
        engaged(network, "net", "d", SHAPE, "onnxruntime")


def test_what_was_remembered_is_found_out_anew_where_it_is_damaged_or_its_network_gone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = fake(monkeypatch)
    network = torch.nn.Conv2d(3, 1, 1)
    for after in (lambda: None, lambda: None, damage(home, "*/*.json"), damage(home, "*/*.onnx")):
        after()
        assert len(remembered()) <= 1
        engaged(network, "net", "d", SHAPE, "onnxruntime")
    assert len(times) == 3


def test_a_full_disk_is_not_remembered_of_an_engine(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(engine, "installed", lambda: {"onnxruntime": "1"})
    monkeypatch.setattr(engine, "_compared", full)
    with pytest.raises(UserError, match="No space left"):
        engaged(torch.nn.Conv2d(3, 1, 1), "net", "d", SHAPE, "onnxruntime")
    assert remembered() == []


def test_only_the_last_networks_are_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch)
    monkeypatch.setattr(engine, "KEPT", 2)
    for number in range(4):
        engaged(torch.nn.Conv2d(3, 1, 1), "net", str(number), SHAPE, "onnxruntime")
    assert len(list(home.glob("*/network.onnx"))) == 2


def test_an_engine_that_is_not_installed_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "installed", dict)
    with pytest.raises(UserError, match=r"pip install 'smp-sentiment\[onnx\]'"):
        engine.require("onnxruntime")
    engine.require("auto")


def test_bfloat16_and_gpus_are_left_to_torch() -> None:
    assert engine.used("onnxruntime", "bfloat16", "cpu") == "torch"
    assert engine.used("onnxruntime", "float32", "cuda") == "torch"
    assert engine.used("onnxruntime", "float32", "cpu") == "onnxruntime"


def test_auto_takes_the_fastest_that_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {"onnxruntime": 1.4, "openvino": 1.7}
    monkeypatch.setattr(engine, "installed", lambda: dict.fromkeys(speeds, "1"))

    def compared(network: object, shape: object, file: Path, name: str) -> tuple[float, float]:
        file.touch()
        return 0.0, speeds[name]

    monkeypatch.setattr(engine, "_compared", compared)
    monkeypatch.setattr(engine, "_loaded", lambda name, file: name)
    network = torch.nn.Conv2d(3, 1, 1)
    assert engaged(network, "net", "d", SHAPE, "auto")._run == "openvino"
    speeds.update(onnxruntime=0.8, openvino=0.9)
    assert engaged(network, "net", "other", SHAPE, "auto") is network
