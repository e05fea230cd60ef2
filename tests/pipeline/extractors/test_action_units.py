"""Action units are py-feat's and OpenFace's own, in OpenFace's order, from trusted weights only."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from skops.io import dump

from pipeline.dag.identity import identify
from pipeline.dag.stage import Stage, extractor_class
from pipeline.encoders import openface
from pipeline.encoders.action_units import HUB, LANDMARKS_FILE, columns
from pipeline.encoders.openface_columns import AUS
from pipeline.errors import ClipError, UserError
from pipeline.extractors.action_units import CROP, ActionUnits
from pipeline.faces.chip import square
from pipeline.media import Frame, Frames
from pipeline.stage.result import FAILED, OK, ClipInputs, ClipResult
from tests.support import whole_py_feat
from tests.support.aligned_faces import FOOTAGE, clips_of, cropped_faces

PY_FEAT = ("xgb", "svm", "multitask")
OPENFACE_AUS = [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45]


@dataclass
class Foreign:
    """A type that py-feat has no use for."""

    command: str = "rm"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small weights of py-feat's classes, in files as its releases have them on the hub."""
    from pipeline.encoders import py_feat_random

    folder = tmp_path_factory.mktemp("released")
    landmarks = py_feat_random.landmarks("cpu").state_dict()
    for backend in ("xgb", "svm"):
        repository, file = HUB[backend]
        path = folder / repository / file
        path.parent.mkdir(parents=True)
        dump(py_feat_random.classifier(backend), path)
    (folder / "py-feat/mobilefacenet").mkdir()
    torch.save({"state_dict": landmarks}, folder / "py-feat/mobilefacenet" / LANDMARKS_FILE)
    repository, file = HUB["multitask"]
    (folder / repository).mkdir()
    network = py_feat_random.multitask("cpu").model.model
    config = {"config": json.dumps(asdict(py_feat_random.MULTITASK))}
    save_file(network.state_dict(), folder / repository / file, config)
    return folder


def random(backend: str, **settings) -> ActionUnits:
    if backend in ("xgb", "svm"):
        settings = {"landmark_weights": "random", **settings}
    return make(backend, weights="random", **settings)


def from_release(backend: str, released: Path) -> ActionUnits:
    repository, file = HUB[backend]
    settings: dict[str, Any] = {"weights": str(released / repository)}
    if backend in ("xgb", "svm"):
        settings["landmark_weights"] = str(released / "py-feat/mobilefacenet")
        digest = sha256((released / repository / file).read_bytes()).hexdigest()
        settings["trusted_sha256"] = digest
    return make(backend, **settings)


def make(backend: str, **settings) -> ActionUnits:
    return ActionUnits(ActionUnits.Settings(backend=backend, **settings))


def with_frames(inputs: ClipInputs, frames: Sequence[Frame]) -> ClipInputs:
    return ClipInputs(inputs.clip, {**inputs.rows, "frames": Frames.of(frames)})


def extract(stage: ActionUnits, clips: list[ClipInputs]) -> list[ClipResult]:
    return list(stage.extract(clips))


def well_formed(features: np.ndarray, steps: int) -> None:
    random("xgb").writes()["features"].check("features", features, steps)
    presences, intensities = np.split(features, 2, axis=1)
    assert set(np.unique(presences)) <= {0, 1}
    assert intensities.min() >= 0
    assert intensities.max() <= 1


def by_py_feat(backend: str, released: Path) -> dict[str, np.ndarray]:
    """What py-feat's own functions give for all faces, by its names of the units."""
    whole_py_feat.require()
    from feat.au_detectors.StatLearning.SL_test import SVMClassifier, XGBClassifier
    from feat.landmark_detectors.mobilefacenet_test import MobileFaceNet
    from feat.multitask.inference import MultitaskModel
    from feat.pretrained import AU_LANDMARK_MAP
    from feat.utils.face_mask import extract_hog_features_batched
    from skops.io import get_untrusted_types, load

    path = released.joinpath(*HUB[backend])
    faces = torch.from_numpy(cropped_faces(CROP[backend])).permute(0, 3, 1, 2) / 255
    if backend == "multitask":
        out = MultitaskModel("cpu", path)(faces)
        return dict(zip(out.au_names, out.au.T, strict=True))
    network = MobileFaceNet([112, 112], 136)
    checkpoint = torch.load(released / "py-feat/mobilefacenet" / LANDMARKS_FILE, weights_only=True)
    network.load_state_dict(checkpoint["state_dict"])
    with torch.inference_mode():
        hog, landmarks = extract_hog_features_batched(faces, network.eval()(faces)[0])
    loaded = load(path, trusted=get_untrusted_types(file=path))
    detector = {"xgb": XGBClassifier, "svm": SVMClassifier}[backend]()
    parts = {name: part for name, part in vars(loaded).items() if "scaler" in name or "pca" in name}
    detector.load_weights(**parts, classifiers=loaded.classifiers)
    found = detector.detect_au(hog, [landmarks])
    return dict(zip(AU_LANDMARK_MAP["Feat"], found.T, strict=True))


def test_signals_are_py_feats_own_from_the_one_pass(
    released: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feat.multitask.inference import MultitaskModel

    faces = cropped_faces(square)
    out = MultitaskModel("cpu", released.joinpath(*HUB["multitask"]))(
        torch.from_numpy(faces).permute(0, 3, 1, 2) / 255
    )
    # By the names and signs of its Detectorv2's columns.
    pitch, roll, yaw = -out.pose[:, 0], -out.pose[:, 2], out.pose[:, 1]
    theirs = {
        "gaze": np.c_[-out.gaze[:, 1], out.gaze[:, 0]],
        "pose": np.c_[pitch, roll, yaw, out.pose[:, 3:]],
        "emotions": out.emotion,
        "affect": np.c_[out.valence, out.arousal],
        "blendshapes": out.blendshapes,
        "mesh": out.mesh478.reshape(len(faces), -1),
    }
    plain = from_release("multitask", released).fields(faces)
    passes: list[int] = []
    prepare = MultitaskModel.preprocess

    def counted(self: Any, x: torch.Tensor) -> Any:
        passes.append(len(x))
        return prepare(self, x)

    monkeypatch.setattr(MultitaskModel, "preprocess", counted)
    path = str(released / HUB["multitask"][0])
    stage = make("multitask", weights=path, signals=list(reversed(theirs)))
    found = stage.fields(faces)
    assert passes == [32]
    assert list(found) == list(stage.writes()) == ["features", *theirs]
    assert found["features"].tobytes() == plain["features"].tobytes()
    for group, values in theirs.items():
        stage.writes()[group].check(group, found[group], len(faces))
        assert found[group] == pytest.approx(values, abs=1e-5), group


def test_signals_that_weights_do_not_have_are_one_clear_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pipeline.encoders import py_feat

    monkeypatch.setitem(py_feat.OUTPUTS, "emotions", "va")  # two values, not seven
    with pytest.raises(UserError, match="no such emotions.*`signals`"):
        random("multitask", signals=["emotions"]).fields(cropped_faces(square))


def test_a_default_stages_fingerprint_is_what_it_was() -> None:
    known = {
        "resnet18": "68098c57199096a22af847a6c66e49f1daba6e375f266d9a2185933819161a85",
        "action_units": "f0e0e412940a8b3352a27ce0639a55b455c1568cd57c9c057d32cb27afc5bb61",
    }
    for name, fingerprint in known.items():
        settings = extractor_class(name, name).Settings.model_validate({"weights": "random"})
        stage = Stage(name, name, (), settings, keep=False, steps=32)
        assert identify(stage, 32, [], {})["fingerprint"] == fingerprint


@pytest.mark.slow
@pytest.mark.parametrize("backend", PY_FEAT)
def test_units_are_py_feats_own(backend: str, released: Path) -> None:
    expected = by_py_feat(backend, released)
    features = from_release(backend, released).fields(cropped_faces(CROP[backend]))["features"]
    well_formed(features, len(features))
    for column, au in enumerate(OPENFACE_AUS):
        presences, intensities = features[:, column], features[:, column + 17]
        theirs = expected["AU43" if au == 45 else f"AU{au:02d}"]
        assert presences == pytest.approx((theirs > 0.5).astype(float))
        if backend != "svm":  # py-feat gives classes only
            assert intensities == pytest.approx(theirs, abs=1e-5)
    assert features[:, 17:].std(axis=0).min() > 0


@pytest.mark.slow
def test_an_svms_intensity_is_the_logistic_of_its_distance(released: Path) -> None:
    from pipeline.encoders import py_feat

    stage = from_release("svm", released)
    detector = stage._detector()
    assert isinstance(detector, py_feat.Classical)
    svm = detector.classifier.classifiers["AU12"].svm
    svm_rows = np.zeros((3, svm.n_features_in_)) + np.arange(3)[:, None]
    sureness = detector.classifier.classifiers["AU12"].predict(svm_rows)
    assert sureness == pytest.approx(1 / (1 + np.exp(-svm.decision_function(svm_rows))))
    assert ((sureness > 0.5) == svm.predict(svm_rows)).all()


@pytest.mark.slow
@pytest.mark.parametrize("backend", PY_FEAT)
def test_a_clip_does_not_depend_on_its_batch(backend: str) -> None:
    clips = clips_of(1, 5, 30, 7)
    together = extract(random(backend), clips)
    for clip, result in zip(clips, together, strict=True):
        (alone,) = extract(random(backend), [clip])
        assert (result.state, result.length) == (OK, len(clip.rows["times"]))
        well_formed(result.rows["features"], result.length)
        assert np.array_equal(alone.rows["features"], result.rows["features"])


@pytest.mark.slow
def test_the_threshold_decides_what_is_there() -> None:
    low, high = (
        random("svm", threshold=t).fields(cropped_faces(CROP["svm"]))["features"]
        for t in (0.05, 0.95)
    )
    assert np.array_equal(low[:, 17:], high[:, 17:])
    assert low[:, :17].mean() > 0.9 > 0.1 > high[:, :17].mean()


@pytest.mark.slow
@pytest.mark.parametrize("backend", PY_FEAT)
def test_random_weights_are_the_same_in_another_process(backend: str, tmp_path: Path) -> None:
    settings = random(backend).settings.model_dump(exclude_unset=True)
    faces = cropped_faces(CROP[backend])[:2]
    here = random(backend).fields(faces)["features"]
    np.save(tmp_path / "faces.npy", faces)
    code = f"""
import numpy, torch
from pipeline.extractors.action_units import ActionUnits
torch.set_num_threads({torch.get_num_threads()})
faces = numpy.load({str(tmp_path / "faces.npy")!r})
stage = ActionUnits(ActionUnits.Settings(**{settings!r}))
numpy.save({str(tmp_path / "there.npy")!r}, stage.fields(faces)["features"])
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert np.array_equal(here, np.load(tmp_path / "there.npy"))


@pytest.mark.slow
def test_landmarks_that_enclose_nothing_cost_their_clip_alone() -> None:
    from pipeline.encoders import py_feat

    points = torch.full((1, 136), 0.5)
    with pytest.raises(ClipError, match="landmarks"):
        py_feat.hog_inside(torch.zeros(1, 3, 112, 112), points, py_feat.hog_layer("cpu"))


@pytest.mark.slow
def test_pictures_that_can_not_be_decoded_any_more_cost_their_clip_alone() -> None:
    first, second, third = clips_of(2, 3, 2)
    broken = with_frames(second, list(second.rows["frames"])[:1])
    results = extract(random("multitask"), [first, broken, third])
    assert [result.state for result in results] == [OK, FAILED, OK]
    assert "no picture at 0.040 s" in results[1].reason
    (alone,) = extract(random("multitask"), [third])
    assert np.array_equal(alone.rows["features"], results[2].rows["features"])


def test_columns_are_in_openfaces_order_with_a_blink_from_closed_eyes() -> None:
    py_feat_units = [1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 17, 20, 23, 24, 25, 26, 28, 43]
    assert list(AUS) == OPENFACE_AUS
    chosen = [py_feat_units[column] for column in columns(py_feat_units)]
    assert chosen == [*OPENFACE_AUS[:-1], 43]


def test_weights_that_lack_a_unit_are_refused() -> None:
    with pytest.raises(UserError, match="AU43"):
        columns(range(1, 43))


@pytest.mark.parametrize(
    ("backend", "setting"),
    [
        ("multitask", {"landmark_weights": "random"}),
        ("multitask", {"binary": "FeatureExtraction"}),
        ("openface", {"weights": "random"}),
        ("openface", {"threshold": 0.3}),
    ],
)
def test_a_setting_meant_for_another_backend_is_refused(backend: str, setting: dict) -> None:
    with pytest.raises(ValidationError, match=f"{next(iter(setting))} does nothing"):
        make(backend, **setting)


def refused(stage: ActionUnits, *words: str) -> None:
    with pytest.raises(UserError) as caught:
        stage.fields(cropped_faces(CROP[stage.settings.backend])[:1])["features"]
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def skops_stage(path: Path, digest: str | None) -> ActionUnits:
    settings = {"weights": str(path), "landmark_weights": "random", "trusted_sha256": digest}
    return make("xgb", **settings)


@pytest.mark.parametrize("trusted", [None, "0" * 64])
def test_a_skops_file_that_nobody_trusts_is_not_opened(trusted: str | None, tmp_path: Path) -> None:
    path = tmp_path / "classifier.skops"
    path.write_bytes(b"anything")
    stage = skops_stage(path, trusted)
    digest = sha256(b"anything").hexdigest()
    with pytest.raises(UserError, match=f"{digest}.*trusted_sha256"):
        stage.weights()
    refused(stage, digest, "multitask")


def test_what_the_user_trusts_is_trusted_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / HUB["xgb"][1]
    path.write_bytes(b"released")
    digest = sha256(b"released").hexdigest()
    assert skops_stage(path, digest).weights().id.startswith(str(path))
    path.write_bytes(b"changed")
    with pytest.raises(UserError, match=f"`trusted_sha256` is {digest}"):
        skops_stage(path, digest).weights()


@pytest.mark.slow
def test_a_trusted_file_still_rebuilds_known_types_only(tmp_path: Path) -> None:
    path = tmp_path / "classifier.skops"
    dump(Foreign(), path)
    refused(skops_stage(path, sha256(path.read_bytes()).hexdigest()), "Foreign")


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"no archive", b""])
def test_a_garbled_skops_file_is_one_clear_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "classifier.skops"
    path.write_bytes(content)
    refused(skops_stage(path, sha256(content).hexdigest()), "classifier.skops")


@pytest.mark.slow
def test_another_backends_classifier_is_refused(released: Path) -> None:
    path = released.joinpath(*HUB["svm"])
    refused(skops_stage(path, sha256(path.read_bytes()).hexdigest()), "SVMClassifier", "xgb")


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "unit"), [("xgb", "AU9"), ("svm", "AU43")])
def test_a_classifier_that_lacks_a_unit_is_refused(backend: str, unit: str, tmp_path: Path) -> None:
    from pipeline.encoders import py_feat_random

    trained = py_feat_random.classifier(backend)
    del trained.classifiers[unit]
    path = tmp_path / "classifier.skops"
    dump(trained, path)
    digest = sha256(path.read_bytes()).hexdigest()
    settings = {"weights": str(path), "landmark_weights": "random", "trusted_sha256": digest}
    refused(make(backend, **settings), unit)


@pytest.mark.slow
def test_multitask_weights_are_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "face_multitask_v2.pt"
    torch.save({"model": {}, "config": {}}, path)
    refused(make("multitask", weights=str(path)), "face_multitask_v2.pt", ".safetensors")
    safe = tmp_path / "foreign.safetensors"
    save_file({"x": torch.ones(1)}, safe)
    refused(make("multitask", weights=str(safe)), "foreign.safetensors", "config")


def test_identity_is_of_both_networks(tmp_path: Path) -> None:
    landmarks = tmp_path / "landmarks.pth"
    landmarks.write_bytes(b"1")
    real = make("svm", weights="random", landmark_weights=str(landmarks)).weights()
    landmarks.write_bytes(b"22")
    other = make("svm", weights="random", landmark_weights=str(landmarks)).weights()
    assert real.random
    assert real.id == f"random + {landmarks}"
    assert real.digest != other.digest


# OpenFace

SCRIPT = """#!{python}
import pathlib, sys
import cv2
words = sys.argv[1:]
folders = [pathlib.Path(b) for a, b in zip(words, words[1:]) if a == "-fdir"]
(out,) = [pathlib.Path(b) for a, b in zip(words, words[1:]) if a == "-out_dir"]
assert "-aus" in words
out.mkdir()
aus = {aus}
names = [f"AU{{au:02d}}_r" for au in aus] + [f"AU{{au:02d}}_c" for au in sorted([28, *aus])]

def values(picture):
    red = float(cv2.imread(str(picture))[..., 2].mean())
    strengths = [red / 255 * 5 + (au == 12) for au in aus]
    return [*strengths, *(float(au == 12) for au in sorted([28, *aus]))]

def write(name, head, lines):
    rows = [[*head, *names], *lines]
    (out / f"{{name}}.csv").write_text("\\n".join(", ".join(map(str, r)) for r in rows) + "\\n")

for folder in folders:
    pictures = sorted(folder.glob("*.png"))
    if {video}:
        head = ["frame", "face_id", "timestamp", "confidence", "success"]
        seen = [int(cv2.imread(str(p)).any()) for p in pictures]
        write(folder.name, head, [[i + 1, 0, 0, 0.9, ok, *values(p)]
                                  for i, (p, ok) in enumerate(zip(pictures, seen))])
    else:
        for p in pictures:
            if cv2.imread(str(p)).any():
                nobody = [1, 0.2, *([0] * len(names))]
                write(p.stem, ["face", "confidence"], [[0, 0.9, *values(p)], nobody])
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts a script onto PATH that does as OpenFace does with what a face's redness tells it."""

    def install(name: str, script: str = SCRIPT) -> Path:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        video = name != "FaceLandmarkImg"
        path.write_text(script.format(python=sys.executable, aus=OPENFACE_AUS, video=video))
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(path.parent))
        return path

    return install


@pytest.mark.parametrize("name", openface.PROGRAMS)
def test_openfaces_own_values_reach_the_faces_they_are_of(
    name: str, program: Callable[[str], Path]
) -> None:
    path = program(name)
    stage = make("openface")
    assert stage.weights().path == path
    clips = clips_of(3, 5)
    frames = list(clips[1].rows["frames"])
    frames[2] = (frames[2][0], np.zeros((90, 160, 3), np.uint8))
    clips[1] = with_frames(clips[1], frames)
    first, second = extract(stage, clips)
    assert first.reason == ""
    assert "1 of 5 steps" in second.reason
    for clip, result in ((clips[0], first), (clips[1], second)):
        features = result.rows["features"]
        seen = zip(clip.rows["frames"], clip.rows["boxes"], strict=True)
        faces = np.stack([square(rgb, box) for (_, rgb), box in seen])
        assert (result.state, result.length) == (OK, len(faces))
        well_formed(features, len(faces))
        red = faces[..., 0].mean(axis=(1, 2)) / 255
        there = red > 0
        assert features[:, 17] == pytest.approx(red, abs=1e-4)
        assert features[:, 17 + 8] == pytest.approx(np.minimum(red + there / 5, 1), abs=1e-4)
        assert (features[:, :17] == there[:, None] * (np.array(AUS) == 12)).all()


def test_a_binary_of_another_place_is_taken_by_its_path(
    program: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program("FeatureExtraction")
    monkeypatch.setenv("PATH", "")
    (result,) = extract(make("openface", binary=str(path)), clips_of(2))
    assert result.state == OK


def test_openface_that_is_not_installed_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="FeatureExtraction or FaceLandmarkImg.*`binary`"):
        make("openface").weights()
    with pytest.raises(UserError, match="no program missing"):
        make("openface", binary="missing").weights()


@pytest.mark.parametrize("name", openface.PROGRAMS)
def test_openface_that_fails_says_what_it_said(
    name: str, program: Callable[[str, str], Path]
) -> None:
    program(name, "#!/bin/sh\necho could not load the model >&2\nexit 3\n")
    with pytest.raises(RuntimeError, match=f"^{name} ended with code 3: could not load the model$"):
        extract(make("openface"), clips_of(2, 2))


def test_a_csv_that_openface_wrote_is_read_as_it_is() -> None:
    path = FOOTAGE / "OpenFace_Test.csv"
    rows = openface.read_csv(path, openface.units)
    with path.open() as file:
        lines = [{k.strip(): v for k, v in line.items()} for line in csv.DictReader(file)]
    assert list(rows) == [
        int(line["frame"]) - 1 for line in lines if line["success"].strip() == "1"
    ]
    assert len(rows) > 90
    for frame, row in rows.items():
        presences = [float(lines[frame][f"AU{au:02d}_c"]) for au in OPENFACE_AUS]
        intensities = [float(lines[frame][f"AU{au:02d}_r"]) / 5 for au in OPENFACE_AUS]
        assert row == pytest.approx(presences + intensities)
    everything = np.stack(list(rows.values()))
    assert everything[:, 17:].max() > 0.2
    assert set(np.unique(everything[:, :17])) == {0, 1}


@pytest.mark.parametrize(
    "content",
    ["", "frame, success, AU01_c\n1, 1, 0\n", "face, confidence, AU01_c\n0, much, 0\n"],
)
def test_a_garbled_csv_costs_its_clip(content: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.csv"
    path.write_text(content)
    if not content:
        assert openface.read_csv(path, openface.units) == {}
        return
    with pytest.raises(ClipError, match=r"clip\.csv"):
        openface.read_csv(path, openface.units)


@pytest.mark.parametrize("module", ["py_feat", "py_feat_hog"])
def test_py_feat_does_without_a_torchcodec_that_can_not_be_loaded(
    tmp_path: Path, module: str
) -> None:
    (tmp_path / "torchcodec").mkdir()
    (tmp_path / "torchcodec/__init__.py").write_text(
        "raise OSError('libnvrtc.so.13: no such file')"
    )
    code = f"import sys, pipeline.encoders.{module}; assert 'torchcodec' not in sys.modules"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
