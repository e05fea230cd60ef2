"""A cut is seen in any light; what moves, flashes, swings or blends is none."""

import importlib.util
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.dag.spec import Stages
from pipeline.extractors.faces import Faces
from pipeline.faces.scene_cuts import AHEAD, AHEAD_PX, SceneCuts
from pipeline.media import frames

FEAT = importlib.util.find_spec("feat")
assert FEAT is not None
assert FEAT.origin is not None
FOOTAGE = Path(FEAT.origin).parent / "tests/data"
RATIO = Faces.Settings().cut_ratio


@cache
def footage(name: str, count: int = 24) -> list[np.ndarray]:
    shown = (rgb for _, rgb in islice(frames(str(FOOTAGE / name)), count))
    return [cv2.resize(rgb, (320, 180), interpolation=cv2.INTER_AREA) for rgb in shown]


def cuts(pictures: Sequence[np.ndarray]) -> list[int]:
    marked = list(SceneCuts(RATIO).marked(enumerate(pictures)))
    assert [number for (number, _), _ in marked] == list(range(len(pictures)))
    assert all(a is b for a, ((_, b), _) in zip(pictures, marked, strict=True))
    return [int(number) for (number, _), is_cut in marked if is_cut]


def lit(rgb: np.ndarray, gain: float, glare: float | np.ndarray = 0) -> np.ndarray:
    return np.clip(rgb * gain + glare, 0, 255).astype(np.uint8)


def man() -> list[np.ndarray]:
    return footage("single_face.mp4")


def woman() -> list[np.ndarray]:
    return footage("WolfgangLanger_Pexels.mp4")


@pytest.mark.parametrize("gain", [1, 0.25, 0.1])
def test_a_cut_is_found_in_any_light(gain: float) -> None:
    assert cuts([lit(rgb, gain) for rgb in man() + woman() + man()]) == [24, 48]


@pytest.mark.parametrize("gain", [1, 0.25])
def test_a_cut_within_a_studio_is_found(gain: float) -> None:
    """Two people before one wall: the mean change is below the 0.1 that once was the level."""
    wall = cv2.GaussianBlur(man()[0], (0, 0), 20)
    seen = [cv2.addWeighted(rgb, 0.25, wall, 0.75, 0) for rgb in man() + woman()]
    assert np.abs(seen[24].astype(float) - seen[23]).mean() / 255 < 0.1
    assert cuts([lit(rgb, gain) for rgb in seen]) == [24]


@pytest.mark.parametrize("name", ["single_face.mp4", "WolfgangLanger_Pexels.mp4", "no_face.mp4"])
def test_movement_is_no_cut(name: str) -> None:
    assert cuts(footage(name, 72)) == []


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_flash_is_no_cut(length: int) -> None:
    slope = np.linspace(0.2, 1, 320)[None, :, None]
    flash = [lit(rgb, 1, 150 * slope) for rgb in woman()[10 : 10 + length]]
    assert cuts(woman()[:10] + flash + woman()[10 + length :]) == []


@pytest.mark.parametrize("every", [1, 2])
def test_a_swing_of_the_camera_is_no_cut(every: int) -> None:
    """Also where each picture is there twice, as in 15 frames a second made into 30."""
    places = [0] * 10 + [25 * i for i in range(1, 9)] + [200] * 10
    still = man()[0]
    seen = [cv2.blur(np.roll(still, x, axis=1), (25 if 0 < x < 200 else 1, 1)) for x in places]
    assert cuts([rgb for rgb in seen for _ in range(every)]) == []


def test_a_dip_to_black_is_a_scene_of_its_own() -> None:
    assert cuts(man() + [np.zeros_like(man()[0])] * 2 + woman()) == [24, 26]


def test_a_dissolve_is_none() -> None:
    shares = np.linspace(0, 1, 14)[1:-1]
    blend = [cv2.addWeighted(man()[0], 1 - s, woman()[0], s, 0) for s in shares]
    assert cuts([*man()[::-1], *blend, *woman()]) == []


def test_pictures_of_one_colour_are_no_error() -> None:
    assert cuts([np.full((9, 16, 3), 40 * i, np.uint8) for i in range(6)]) == []
    assert cuts([]) == []


def test_few_pictures_are_held_ahead_and_fewer_large_ones() -> None:
    taken: list[int] = []

    def given(shape: tuple[int, int]) -> Iterator[tuple[float, np.ndarray]]:
        picture = np.broadcast_to(np.zeros(1, np.uint8), (*shape, 3))
        for number in range(12):
            taken.append(number)
            yield number, picture

    for shape, most in (((90, 160), AHEAD), ((3000, 4000), AHEAD_PX // 12_000_000)):
        taken.clear()
        for (number, _), _ in SceneCuts(RATIO).marked(given(shape)):
            assert len(taken) - 1 - number <= most


def test_the_setting_that_was_replaced_is_named() -> None:
    boxes = {"frames": {}, "faces": {"needs": "frames", "cut_level": 0.2}}
    with pytest.raises(Exception, match="cut_level is gone: leave it out, or set cut_ratio"):
        Stages({"stages": boxes})
