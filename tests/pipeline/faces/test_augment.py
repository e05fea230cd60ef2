"""Faces are blurred and covered by as much as is said, and whoever looks sees the same."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.dataset.clip import Clip
from pipeline.extractors.action_units import ActionUnits
from pipeline.extractors.faces import Faces
from pipeline.faces.align import SIZE_PX, align
from pipeline.faces.augment import GREY, Augment, AugmentedFrames, blurred, covered
from pipeline.faces.tracker import Face
from pipeline.media import Frames
from pipeline.stage.result import ClipInputs, ClipResult
from tests.support.aligned_faces import clips_of, seen_faces


@cache
def faces() -> list[Face]:
    return [
        Face(n / 25, seen.box, seen.landmarks, 1.0, align(seen.rgb, seen.landmarks))
        for n, seen in enumerate(seen_faces())
    ]


def is_grey(image: np.ndarray) -> np.ndarray:
    return (image == GREY).all(axis=-1)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_a_square_covers_its_share_of_every_face_at_the_clips_own_place(share):
    looked, _ = Augment(occluded=share).of(faces(), "a")
    grey = np.stack([is_grey(face.image) for face in looked])
    assert grey.mean() == pytest.approx(share, abs=0.01)
    assert (grey.sum(0) >= len(grey)).mean() == pytest.approx(share, abs=0.01), "in all steps"
    other, _ = Augment(occluded=share).of(faces(), "b")
    assert share == 1 or not np.array_equal(is_grey(other[0].image), grey[0])


def test_what_is_covered_stays_covered_at_larger_shares():
    before = np.zeros((SIZE_PX, SIZE_PX), bool)
    for share in np.linspace(0.01, 1, 40):
        (face,), _ = Augment(occluded=float(share)).of(faces()[:1], "a")
        grey = is_grey(face.image)
        assert not (before & ~grey).any()
        before = grey


def test_a_blur_spreads_a_point_by_its_deviation():
    point = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
    point[40:60, 50:70] = 255
    _, x = np.mgrid[:SIZE_PX, :SIZE_PX]

    def spread(image: np.ndarray) -> float:
        light = image[..., 0].astype(float)
        middle = (light * x).sum() / light.sum()
        return float((light * (x - middle) ** 2).sum() / light.sum())

    assert spread(blurred(point, 4.0)) - spread(point) == pytest.approx(4.0**2, rel=0.05)


@pytest.mark.parametrize(
    "how", [{"occluded": 0.4}, {"blur_px": 3}, {"occluded": 0.4, "blur_px": 3}]
)
def test_the_frames_look_as_the_aligned_faces_do(how):
    looked, rows = Augment(**how).of(faces(), "a")
    seen = [(face.time_s, seen.rgb) for face, seen in zip(faces(), seen_faces(), strict=True)]
    frames = AugmentedFrames(Frames.of(seen).begin, rows=rows)
    for (_, rgb), face in zip(frames.at([face.time_s for face in faces()]), looked, strict=True):
        inner = (slice(12, -12), slice(12, -12))
        again = align(rgb, face.landmarks)[inner].astype(float)
        off = np.abs(again - face.image[inner])
        assert np.median(off) < 3
        assert off.mean() < 6


def still(**augment: Any) -> ClipResult:
    """The faces of a clip of three frames that show one person."""
    rgb = seen_faces()[-1].rgb
    frames = Frames.of([(n / 25, rgb) for n in range(3)])
    stage = Faces(Faces.Settings(device="cpu", augment=augment))
    (result,) = stage.extract([ClipInputs(Clip("a"), {"frames": frames})])
    assert result.state == "ok", result.reason
    return result


def test_faces_are_found_in_clean_pictures_and_their_quality_is_that_of_the_worse() -> None:
    clean, worse = still(), still(blur_px=3)
    for field in ("boxes", "landmarks", "times", "track_table", "mean_probability"):
        assert np.array_equal(worse.rows[field], clean.rows[field])
    assert np.array_equal(worse.rows["images"][0], blurred(clean.rows["images"][0], 3))
    assert worse.rows["sharpness"] < clean.rows["sharpness"] / 5
    assert worse.rows.keys() - clean.rows.keys() == {"blurs"}


def test_action_units_sees_what_was_done_to_the_faces() -> None:
    stage = ActionUnits(ActionUnits.Settings(weights="random", device="cpu"))
    (inputs,) = clips_of(2)
    corners = inputs.rows["boxes"][:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    given = {**inputs.rows, "covers": corners}
    painted = [
        (time_s, covered(rgb, at))
        for (time_s, rgb), at in zip(inputs.rows["frames"], corners, strict=True)
    ]
    as_painted = {**inputs.rows, "frames": Frames.of(painted)}
    found = [
        next(iter(stage.extract([ClipInputs(inputs.clip, rows)]))).rows["features"]
        for rows in (given, as_painted, inputs.rows)
    ]
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_by_default_nothing_is_done_and_the_fingerprint_is_as_ever() -> None:
    looked, rows = Augment().of(faces(), "a")
    assert looked == faces()
    assert rows == {}
    assert "augment" not in Faces.Settings(augment={"blur_px": 0}).affecting_results()
    assert Faces.Settings(augment={"blur_px": 1}).affecting_results()["augment"] == {
        "blur_px": 1.0,
        "occluded": 0.0,
    }


@pytest.mark.parametrize("wrong", [{"blur_px": -1}, {"blur_px": 29}, {"occluded": 1.1}, {"px": 1}])
def test_what_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Faces.Settings(augment=wrong)
