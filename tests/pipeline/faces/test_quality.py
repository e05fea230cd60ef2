"""Faces are measured, and a clip that rests on poor ones is doubtful and says why."""

import importlib.util
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.dataset.clip import Clip
from pipeline.extractors.faces import Faces
from pipeline.faces.align import SIZE_PX, TEMPLATE_PX
from pipeline.faces.quality import HEAD, Levels, Quality, inside, pose, sharpness
from pipeline.media import Frames, frames
from pipeline.stage.result import OK, ClipInputs, ClipResult

FEAT = importlib.util.find_spec("feat")
assert FEAT is not None
assert FEAT.origin is not None
FOOTAGE = Path(FEAT.origin).parent / "tests/data"
GOOD = Quality(0.99, 0.9, 60, 0.1, 5, 5, 5, 1.0, 0.2, 0.0)


def turned(axis: int, degrees: float) -> np.ndarray:
    """The landmarks of an average head turned about an axis: 0 across, 1 down, 2 into depth."""
    a = np.deg2rad(degrees)
    turn = np.eye(3)
    u, v = [(1, 2), (2, 0), (0, 1)][axis]
    turn[u, u], turn[u, v], turn[v, u], turn[v, v] = np.cos(a), -np.sin(a), np.sin(a), np.cos(a)
    return (HEAD @ turn.T)[:, :2] * 40 + 200


@pytest.mark.parametrize("degrees", [-40, -10, 0, 25])
def test_pose_is_recovered_from_the_landmarks_of_a_turned_head(degrees: float) -> None:
    yaw, pitch, roll = pose(turned(1, degrees)), pose(turned(0, degrees)), pose(turned(2, degrees))
    assert yaw == pytest.approx((degrees, 0, 0), abs=1e-3)
    assert pitch == pytest.approx((0, -degrees, 0), abs=1e-3)
    assert roll == pytest.approx((0, 0, degrees), abs=1e-3)


def test_a_face_like_the_template_looks_straight_ahead() -> None:
    assert pose(3 * TEMPLATE_PX) == pytest.approx((0, 0, 0), abs=1e-6)


def test_sharpness_falls_with_blur_and_not_with_the_light() -> None:
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), np.uint8), (0, 0), 1)
    blurred = cv2.GaussianBlur(image, (0, 0), 3)
    assert sharpness(blurred) < sharpness(image) / 5
    assert sharpness(image // 2) == pytest.approx(sharpness(image), rel=0.05)
    assert sharpness(np.zeros_like(image)) == 0


@pytest.mark.parametrize(
    ("box", "share"), [((10, 10, 30, 30), 1), ((-10, 0, 10, 20), 0.5), ((90, 40, 130, 60), 0.125)]
)
def test_what_the_edge_cuts_off_is_measured(box: tuple[int, ...], share: float) -> None:
    assert inside(np.array(box, np.float32), (50, 100)) == pytest.approx(share)


def test_a_box_of_no_area_is_no_error() -> None:
    assert inside(np.array([5, 5, 5, 9], np.float32), (50, 100)) == 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"mean_probability": 0.816}, "mean probability 0.82 (at least 0.9)"),
        ({"coverage": 0.04}, "face in 4 % of the frames (at least 25 %)"),
        ({"eye_distance": 7}, "7 px between the eyes (at least 12)"),
        ({"sharpness": 0.002}, "sharpness 0.002 (at least 0.01)"),
        ({"yaw": 71}, "head turned by 71° (at most 60°)"),
        ({"pitch": 65}, "head turned by 65° (at most 60°)"),
        ({"inside": 0.5}, "50 % of the face in the picture (at least 80 %)"),
        ({"damaged": 0.6}, "60 % of the pictures are damaged (at most 10 %)"),
        ({"runner_up": 0.95}, "another person 95 % as large (at most 80 %)"),
        (
            {"coverage": 0.04, "mean_probability": 0.82},
            "face in 4 % of the frames (at least 25 %), mean probability 0.82 (at least 0.9)",
        ),
    ],
)
def test_a_doubt_names_the_measure_its_value_and_the_level(
    changed: dict[str, float], said: str
) -> None:
    assert Quality(**{**vars(GOOD), **changed}).doubt(Levels()) == said


def test_a_doubt_about_who_speaks_is_of_mouths_and_not_of_sizes() -> None:
    doubt = Quality(**{**vars(GOOD), "runner_up": 0.95}).doubt(Levels(), by_speech=True)
    assert doubt == "another mouth moves 95 % as far (at most 80 %)"


def shown(name: str, count: int) -> list[np.ndarray]:
    return [rgb for _, rgb in islice(frames(str(FOOTAGE / name)), count)]


def faces_of(pictures: list[np.ndarray], **settings) -> ClipResult:
    given = Frames.of([(i / 25, rgb) for i, rgb in enumerate(pictures)])
    stage = Faces(Faces.Settings(device="cpu", **settings))
    (result,) = stage.extract([ClipInputs(Clip("a"), {"frames": given})])
    assert result.state == OK
    return result


def test_a_clean_clip_is_not_doubtful() -> None:
    result = faces_of(shown("single_face.mp4", 12))
    assert result.doubt == ""
    assert result.rows["coverage"] == 1
    assert result.rows["runner_up"] == 0
    assert result.rows["mean_probability"] > 0.99
    assert 60 < result.rows["eye_distance"] < 80
    assert result.rows["track_table"].shape == (1, 7)


def test_a_face_on_few_frames_is_doubtful() -> None:
    result = faces_of(shown("no_face.mp4", 20) + shown("noface_face.mov", 100)[-3:])
    assert result.doubt.startswith("face in 13 % of the frames (at least 25 %)")
    assert result.rows["coverage"] == pytest.approx(3 / 23)
    assert result.rows["cuts"] == len(result.rows["cut_times"])


def test_the_levels_are_settings_that_change_no_number() -> None:
    pictures = shown("single_face.mp4", 6)
    strict = faces_of(pictures, doubt={"eyes_px": 500})
    assert "px between the eyes (at least 500)" in strict.doubt
    usual = faces_of(pictures)
    assert all(np.array_equal(strict.rows[name], usual.rows[name]) for name in usual.rows)


def test_two_people_of_a_size_are_a_doubt() -> None:
    man = shown("single_face.mp4", 6)
    woman = [cv2.resize(rgb, (640, 360)) for rgb in shown("WolfgangLanger_Pexels.mp4", 6)]
    result = faces_of([np.hstack(pair) for pair in zip(man, woman, strict=True)])
    assert result.rows["runner_up"] > 0.3
    assert (
        "another person"
        in faces_of(
            [np.hstack(pair) for pair in zip(man, woman, strict=True)], doubt={"runner_up": 0.3}
        ).doubt
    )
