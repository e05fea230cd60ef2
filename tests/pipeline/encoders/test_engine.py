"""Networks in other engines than torch, held against it."""

import errno
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import open_cache
from pipeline.dataset.clip import Clip
from pipeline.encoders import engine, engine_library, engine_trial, resnet18
from pipeline.encoders.engine import engaged
from pipeline.encoders.engine_trial import Subject, Tried, remembered
from pipeline.encoders.face_signals import FIELDS
from pipeline.errors import UserError
from pipeline.extractors.action_units import ActionUnits
from pipeline.extractors.bert import Bert
from pipeline.extractors.resnet18 import Resnet18
from pipeline.extractors.wav2vec2 import Wav2vec2
from pipeline.stage.extractor import Extractor
from pipeline.stage.result import ClipInputs
from pipeline.weights import registry
from tests.conftest import Transcripts
from tests.support.aligned_faces import clips_of

SHAPE = (4, 3, 32, 32)
NET = Subject("net", "d", (SHAPE,))
ENGINES = [
    pytest.param(name, marks=pytest.mark.skipif(not find_spec(name), reason=f"no {name}"))
    for name in engine_library.EXTRAS
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

    def compared(network: object, of: Subject, *_: object) -> tuple[float, float]:
        file = of.folder / engine_trial.NETWORK
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        made.append(file)
        return 0.0, 2.0

    monkeypatch.setattr(engine_library, "installed", lambda: {"onnxruntime": "1"})
    monkeypatch.setattr(engine_trial, "compared", compared)
    monkeypatch.setattr(engine_library, "load", lambda name, file: file)
    return made


def damage(home: Path, pattern: str) -> Callable[[], None]:
    """Cut what is remembered off in the middle, or remove a network."""

    def act() -> None:
        (file,) = home.glob(pattern)
        file.unlink() if file.suffix == ".onnx" else file.write_text('{"network"')

    return act


def said(*lengths: int) -> list[ClipInputs]:
    """Texts of so many words, with sounds of so many tenths of a second and one sample."""
    noise = np.random.default_rng(0)
    return [
        ClipInputs(
            Clip(str(n), text="one two three four five six seven"[: 5 * n]),
            {"samples": noise.integers(-9000, 9000, 1600 * n + 1).astype(np.int16)},
        )
        for n in lengths
    ]


def features(of: type[Extractor], name: str, clips: Sequence[ClipInputs]) -> list[np.ndarray]:
    return [result.rows["features"] for result in made(of, name).extract(clips)]


def judged(name: str) -> tuple[np.ndarray, float]:
    """The units and signals of faces, and by how little any of their choices of units is made."""
    of = {"weights": "random", "engine": name, "signals": list(FIELDS)}
    stage = ActionUnits(ActionUnits.Settings.model_validate(of))
    choice = stage._detector().model.model.fgg  # type: ignore[attr-defined]
    margins: list[float] = []

    def watch(_: object, given: tuple[torch.Tensor], __: object) -> None:
        units = torch.nn.functional.normalize(given[0], dim=-1)
        alike = (units @ units.transpose(1, 2)).sort(descending=True).values
        margins.append(float((alike[..., choice.k] - alike[..., choice.k + 1]).min()))

    choice.register_forward_hook(watch)
    faces = np.random.default_rng(0).integers(0, 256, (5, 256, 256, 3), np.uint8)
    found = stage.fields(faces)
    found["features"] = found["features"][:, 17:]  # presences are steps
    return np.concatenate([rows.reshape(5, -1) for rows in found.values()], axis=1), min(margins)


@pytest.mark.parametrize("name", ENGINES)
def test_faces_are_to_an_engine_what_they_are_to_torch(name: str) -> None:
    found = [np.concatenate(features(Resnet18, e, clips_of(1, 4, 2))) for e in ("torch", name)]
    np.testing.assert_allclose(found[1], found[0], atol=2e-5)
    found = [judged(e)[0] for e in ("torch", name)]
    np.testing.assert_allclose(found[1], found[0], atol=2e-5)
    assert {one.network for one in remembered()} == {"resnet18", "action_units"}
    for one in remembered():
        assert (one.engine, one.error) == (name, "")
        assert 0 < one.difference <= engine_trial.AGREEMENT
        assert one.faster > 0


@pytest.mark.parametrize("name", ENGINES)
def test_units_agree_where_the_choice_of_those_most_alike_is_clear(name: str) -> None:
    (by_torch, margin), (found, other) = judged("torch"), judged(name)
    assert min(margin, other) > 1e-5  # no engine differs by as much
    np.testing.assert_allclose(found, by_torch, rtol=1e-5, atol=1e-5)
    assert not np.array_equal(found, by_torch)  # it is another engine indeed


@pytest.mark.skipif(not find_spec("onnxruntime"), reason="no onnxruntime")
@pytest.mark.parametrize("of", [Bert, Wav2vec2])
def test_texts_and_sounds_of_any_length_are_to_an_engine_what_they_are_to_torch(
    of: type[Extractor],
) -> None:
    clips = said(1, 2, 4, 6, 1)
    by_torch, found = (features(of, name, clips) for name in ("torch", "onnxruntime"))
    for one, expected in zip(found, by_torch, strict=True):
        np.testing.assert_allclose(one, expected, atol=2e-5)
        assert not np.array_equal(one, expected)  # it is another engine indeed
    for clip, one in zip(clips, found, strict=True):
        np.testing.assert_array_equal(features(of, "onnxruntime", [clip])[0], one)


@pytest.mark.skipif(not find_spec("onnxruntime"), reason="no onnxruntime")
def test_a_store_says_which_engine_computed_it_and_how_near_to_torch(
    transcripts: Transcripts,
) -> None:
    transcripts.texts(["it was good", "it was not"])
    for name in ("torch", "onnxruntime"):
        bert = {"weights": "random", "engine": name}
        of = {"partition": 4, "stages": {"bert": bert}}
        transcripts.stages_file.write_text(json.dumps(of))
        done = transcripts.extract(cache_root=str(transcripts.folder.parent / name))
        told = open_cache(done.cache_url)["bert"].attributes.get("engine", {})
        assert bool(told) == (name != "torch")
    assert told["engine"] == "onnxruntime"
    assert 0 < told["difference"] <= engine_trial.AGREEMENT


@pytest.mark.skipif(not find_spec("openvino"), reason="no openvino")
def test_openvino_is_given_nothing_of_free_length(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UserError, match="wrong states where lengths differ from call to call"):
        features(Bert, "openvino", said(1))
    assert remembered()[0].error
    features(Bert, "auto", said(1))


def test_an_engine_is_no_part_of_a_fingerprint() -> None:
    settings = [made(Resnet18, name).settings for name in ("torch", "auto")]
    assert settings[0].affecting_results() == settings[1].affecting_results()


@pytest.mark.parametrize("name", ENGINES)
def test_a_network_is_converted_once_a_machine(
    name: engine.Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = resnet18.at_random("cpu")
    first = engaged(network, NET, name)
    monkeypatch.setattr(engine_trial, "compared", None)
    again = engaged(network, NET, name)
    x = torch.rand(9, *SHAPE[1:])
    assert first is not None
    assert again is not None
    assert torch.equal(first(x), again(x))
    assert len(list(home.glob("*/network.onnx"))) == 1


def test_what_came_of_an_engine_on_another_processor_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times, network = fake(monkeypatch), torch.nn.Conv2d(3, 1, 1)
    engaged(network, NET, "auto")
    monkeypatch.setattr("pipeline.system.processor.about", lambda: {"model name": "another"})
    assert remembered() == []
    engaged(network, NET, "auto")
    assert len(times) == 2
    assert len(remembered()) == 1


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_that_disagrees_is_refused_and_auto_leaves_it_to_torch(
    name: engine.Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine_trial, "AGREEMENT", -1.0)
    monkeypatch.setattr(engine_library, "installed", lambda: {name: "1"})
    network = resnet18.at_random("cpu")
    with pytest.raises(UserError, match="differs from torch by .*set `engine` to torch or auto"):
        engaged(network, NET, name)
    assert engaged(network, NET, "auto") is None
    assert "engine auto: torch computes net: " in caplog.text
    assert "differs from torch" in caplog.text


def test_auto_without_an_engine_or_a_place_for_networks_is_torch_with_a_warning(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = torch.nn.Conv2d(3, 1, 1)
    monkeypatch.setattr(engine_library, "installed", dict)
    assert engaged(network, NET, "auto") is None
    assert "no other engine is installed" in caplog.text
    home.parent.mkdir(exist_ok=True)
    shutil.rmtree(home)
    home.write_text("in the way")
    monkeypatch.setattr(engine_library, "installed", lambda: {"onnxruntime": "1"})
    assert engaged(network, NET, "auto") is None
    assert str(home) in caplog.text
    with pytest.raises(UserError, match=r"engine 'onnxruntime' can't be used for net: .*; set"):
        engaged(network, NET, "onnxruntime")


def test_what_was_remembered_is_found_out_anew_where_it_is_damaged_or_its_network_gone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = fake(monkeypatch)
    network = torch.nn.Conv2d(3, 1, 1)
    for after in (lambda: None, lambda: None, damage(home, "*/*.json"), damage(home, "*/*.onnx")):
        after()
        assert len(remembered()) <= 1
        engaged(network, NET, "onnxruntime")
    assert len(times) == 3


def test_a_full_disk_is_not_remembered_of_an_engine(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(engine_library, "installed", lambda: {"onnxruntime": "1"})
    monkeypatch.setattr(engine_trial, "compared", full)
    with pytest.raises(UserError, match="No space left"):
        engaged(torch.nn.Conv2d(3, 1, 1), NET, "onnxruntime")
    assert remembered() == []


def test_only_the_last_networks_are_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch)
    monkeypatch.setattr(engine_trial, "KEPT", 2)
    for number in range(4):
        engaged(torch.nn.Conv2d(3, 1, 1), replace(NET, digest=str(number)), "onnxruntime")
    assert len(list(home.glob("*/network.onnx"))) == 2


def test_an_engine_that_is_not_installed_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_library, "installed", dict)
    with pytest.raises(UserError, match=r"pip install 'smp-sentiment\[onnx\]'"):
        engine.require("onnxruntime")
    engine.require("auto")


def test_bfloat16_and_gpus_are_left_to_torch() -> None:
    assert engine.used("onnxruntime", "bfloat16", "cpu") == "torch"
    assert engine.used("onnxruntime", "float32", "cuda") == "torch"
    assert engine.used("onnxruntime", "float32", "cpu") == "onnxruntime"


def test_auto_takes_the_fastest_that_was_tried_and_torch_where_none_is_faster() -> None:
    slow, fast, wrong = (
        Tried("net", "d", name, "1", "p", faster=faster, error=error)
        for name, faster, error in (
            ("onnxruntime", 1.4, ""), ("openvino", 1.7, ""), ("third", 9.0, "it differs"),
        )
    )  # fmt: skip
    assert engine.chosen([slow, fast, wrong], "auto") is fast
    assert engine.chosen([slow, fast, wrong], "onnxruntime") is slow
    assert engine.chosen([replace(fast, faster=0.9), wrong], "auto") is None
