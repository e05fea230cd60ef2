"""OpenFace's columns reach the frames that they are of, by its names for them."""

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from pipeline.dataset.clip import Clip
from pipeline.encoders import openface
from pipeline.encoders.openface_columns import COLUMNS, Group
from pipeline.errors import ClipError, UserError
from pipeline.extractors.openface import Openface
from pipeline.media import Frames
from pipeline.stage.result import FAILED, MISSING, OK, ClipInputs, ClipResult
from tests.support.aligned_faces import FOOTAGE
from tests.support.openface_program import feature_extraction

Install = Callable[..., Path]

WIDTHS = {
    "gaze": 8, "eye_landmarks": 280, "pose": 6, "landmarks_2d": 136, "landmarks_3d": 204,
    "shape": 40, "action_units": 35,
}  # fmt: skip


@pytest.fixture
def program(tmp_path: Path) -> Install:
    return partial(feature_extraction, tmp_path)


def clip(*reds: int) -> ClipInputs:
    """Frames of one colour each, 40 ms apart."""
    pictures = [np.full((36, 64, 3), (red, 9, 9), np.uint8) for red in reds]
    frames = Frames.of([(0.04 * i, picture) for i, picture in enumerate(pictures)])
    return ClipInputs(Clip("a"), {"frames": frames})


def extract(program: Path, inputs: ClipInputs, **settings: Any) -> ClipResult:
    stage = Openface(Openface.Settings(binary=str(program), **settings))
    [result] = stage.extract([inputs])
    if result.state == OK:
        for name, field in stage.writes().items():
            assert result.rows[name].shape == (result.length, *field.shape(32)[1:])
    return result


def test_all_groups_are_the_709_columns_of_ch_sims() -> None:
    assert {group: len(names) for group, names in COLUMNS.items()} == WIDTHS
    assert list(COLUMNS) == list(get_args(Group))
    assert Openface(Openface.Settings()).writes()["features"].width == 709


def test_rows_are_of_the_frames_in_which_a_face_is_tracked(program: Install) -> None:
    result = extract(program(), clip(100, 0, 200, 50, 250))
    assert (result.state, result.length, result.doubt) == (OK, 4, "")
    reds = np.array([100, 200, 50, 250])
    expected = np.arange(709) + reds[:, None] / 1000
    np.testing.assert_allclose(result.rows["features"], expected, rtol=1e-6)
    np.testing.assert_allclose(result.rows["times"], [0, 0.08, 0.12, 0.16])
    np.testing.assert_allclose(result.rows["confidence"], reds / 255, rtol=1e-6)


def test_groups_are_found_by_the_names_of_their_columns(program: Install) -> None:
    """Other builds of OpenFace order them otherwise."""
    path = program(groups=("action_units", "pose"))
    features = extract(path, clip(100), groups=["action_units", "pose"]).rows["features"]
    np.testing.assert_allclose(features[0], np.r_[35:41, 0:35] + 0.1, rtol=1e-6)
    result = extract(path, clip(100), groups=["gaze"])
    assert result.state == FAILED
    assert result.reason == "OpenFace's clip.csv has a missing or bad column: 'gaze_0_x'"


def test_rows_are_averaged_as_the_recipe_of_ch_sims_does(program: Install) -> None:
    result = extract(program(), clip(*range(10, 90, 10)), groups=["pose"], pool=5)
    assert result.length == 2
    np.testing.assert_allclose(result.rows["times"], [0.08, 0.24])
    np.testing.assert_allclose(result.rows["features"][:, 0], [288.030, 288.070], rtol=1e-6)


def test_a_clip_without_a_face_is_missing_and_one_with_few_is_doubtful(program: Install) -> None:
    path = program()
    nobody = extract(path, clip(0, 0))
    assert nobody.state == MISSING
    assert nobody.reason == "OpenFace saw a face in 0 of 2 frames"
    assert extract(path, clip(9, 0, 0, 0, 0)).doubt == "OpenFace saw a face in 1 of 5 frames"


def test_a_program_that_fails_is_no_clips_fault(program: Install) -> None:
    path = program("#!/bin/sh\necho no model >&2\nexit 3\n")
    with pytest.raises(RuntimeError, match="FeatureExtraction ended with code 3: no model"):
        extract(path, clip(9))


def test_a_picture_that_could_not_be_written_is_told(
    program: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cv2.imwrite", lambda path, image: "00000001" not in path)
    with pytest.raises(OSError, match=r"00000001\.png can't be written"):
        extract(program(), clip(100, 50, 200))


def test_a_program_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="no program FeatureExtraction on PATH"):
        Openface(Openface.Settings()).weights()


def test_columns_of_a_file_that_openface_wrote_are_found() -> None:
    """Of OpenFace 1, which had neither eye landmarks nor angles of gaze."""
    path = FOOTAGE / "OpenFace_Test.csv"
    names = [name for group in list(COLUMNS)[2:] for name in COLUMNS[group]]
    rows = openface.read_csv(path, lambda line: np.array([float(line[n]) for n in names]))
    with path.open() as file:
        lines = [{k.strip(): v for k, v in line.items()} for line in csv.DictReader(file)]
    in_file = [name for name in lines[0] if name in names]
    assert in_file == names
    assert [rows[5][names.index("X_7")], rows[5][-1]] == [
        float(lines[5]["X_7"]), float(lines[5]["AU45_c"]),
    ]  # fmt: skip
    with pytest.raises(ClipError, match="eye_lmk_x_0"):
        openface.read_csv(path, lambda line: np.array([float(line["eye_lmk_x_0"])]))
