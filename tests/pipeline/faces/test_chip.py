"""Faces are cut out as py-feat cuts them, given the same box, whatever lies beyond the picture."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from pipeline.errors import ClipError
from pipeline.faces.chip import Crop, chips, square, stretched
from pipeline.media import Frame, Frames
from tests.support import whole_py_feat
from tests.support.aligned_faces import seen_faces

Theirs = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LEVEL = 1 / 255


def by_detector_v2(frame: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
    whole_py_feat.require()
    from feat.detector_v2 import Detectorv2

    of_its_kind: Any = SimpleNamespace(device=torch.device("cpu"), face_size=256)
    return cast(
        torch.Tensor, Detectorv2.crop_faces_from_boxes(of_its_kind, frame, box)[0]["faces"][0]
    )


def by_detector_v1(frame: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
    """As its `detect_faces` calls it."""
    whole_py_feat.require()
    from feat.utils.image_operations import extract_face_from_bbox_torch

    faces, _ = extract_face_from_bbox_torch(frame.float() / 255, box, face_size=112)
    return cast(torch.Tensor, faces[0])


def largest_difference(rgb: np.ndarray, box: np.ndarray, ours: Crop, theirs: Theirs) -> float:
    frame = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None]
    expected = theirs(frame, torch.from_numpy(box)[None]).permute(1, 2, 0).numpy()
    return float(np.abs(ours(rgb, box) / 255 - expected).max())


CUTS = [
    pytest.param(square, by_detector_v2, id="v2"),
    pytest.param(stretched, by_detector_v1, id="v1"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("ours", "theirs"), CUTS)
def test_real_faces_are_cut_as_py_feat_cuts_them(ours: Crop, theirs: Theirs) -> None:
    for face in seen_faces():
        assert largest_difference(face.rgb, face.box, ours, theirs) <= LEVEL


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(90, 160), (64, 64), (200, 120), (3, 5)])
@pytest.mark.parametrize(("ours", "theirs"), CUTS)
def test_boxes_over_the_edges_are_filled_as_py_feat_fills_them(
    shape: tuple[int, int], ours: Crop, theirs: Theirs
) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)  # where errors of place show most
    height, width = shape
    for _ in range(25):
        begin = rng.uniform((-0.4 * width, -0.4 * height), (1.1 * width, 1.1 * height))
        size = rng.uniform((1, 1), (1.3 * width, 1.3 * height))
        box = np.concatenate([begin, begin + size]).astype(np.float32)
        assert largest_difference(noise, box, ours, theirs) <= LEVEL


def still(shade: int) -> np.ndarray:
    return np.full((20, 30, 3), shade, np.uint8)


def test_each_face_comes_from_its_own_frame_and_no_frame_after_the_last_is_decoded() -> None:
    decoded: list[int] = []

    def begin(_: Frames, wanted: Callable[[float], bool]) -> Iterator[Frame]:
        for shade in range(10):
            decoded.append(shade)
            if wanted(shade / 25):
                yield shade / 25, still(shade)

    boxes = np.tile(np.array([5, 5, 10, 12], np.float32), (2, 1))
    found = chips(Frames(begin), np.array([0.08, 0.2]), boxes, square)
    assert found.shape == (2, 256, 256, 3)
    assert [set(np.unique(face)) for face in found] == [{2}, {5}]
    assert decoded == [0, 1, 2, 3, 4, 5]


def test_a_frame_that_is_no_longer_there_is_an_error_of_the_clip() -> None:
    frames = Frames.of([(0.0, still(0)), (0.04, still(1))])
    boxes = np.tile(np.array([5, 5, 10, 12], np.float32), (2, 1))
    with pytest.raises(ClipError, match="no picture at 0.080 s"):
        chips(frames, np.array([0.04, 0.08]), boxes, stretched)
