"""Faces between key frames: looked for where an even motion brings them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from pipeline.faces.detections import Detections
from pipeline.faces.keyframes import KeyFrameDetector
from pipeline.faces.mtcnn import Detector
from pipeline.faces.windows import Window

N = 9
FRAMES = [(i / 25, np.full((64, 64, 3), i, np.uint8)) for i in range(N)]
WINDOW = Window(FRAMES, [0, N - 1], frozenset(), follows=False)


def face(i: float, probability: float = 0.99) -> Detections:
    """A face that moves 1 px a frame to the right; O-Net saw it in a square 2 px around."""
    box = np.array([[10 + i, 10, 40 + i, 40]], np.float32)
    square = box + np.array([-2, -2, 2, 2], np.float32)
    sure = np.array([probability], np.float32)
    return Detections(box, sure, np.zeros((1, 5, 2), np.float32), square)


class Cascade:
    """Finds the face; `sure` says how sure O-Net is of it. Notes which frames it was shown."""

    thresholds = (0.6, 0.7, 0.7)

    def __init__(self, sure: float) -> None:
        self.sure = sure
        self.whole: list[int] = []
        self.squares: dict[int, np.ndarray] = {}

    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        numbers = [int(image[0, 0, 0]) for image in images]
        self.whole += numbers
        return [face(i) for i in numbers]

    def searched_px(self, size: tuple[int, int]) -> int:
        return size[0] * size[1]

    def look(self, images: Sequence[np.ndarray], squares: Sequence[Any]) -> list[Detections]:
        numbers = [int(image[0, 0, 0]) for image in images]
        self.squares.update(zip(numbers, squares, strict=True))
        return [face(i, self.sure) for i in numbers]


def detected(cascade: Cascade) -> list[Detections]:
    detector = KeyFrameDetector(cast(Detector, cascade), min_iou=0.3)
    return detector.detect([WINDOW], [None])[0].faces


def test_a_face_is_looked_for_where_an_even_motion_brings_it_and_nowhere_else() -> None:
    cascade = Cascade(sure=0.99)
    found = detected(cascade)
    assert sorted(cascade.whole) == [0, N - 1]
    for i in range(1, N - 1):
        np.testing.assert_allclose(cascade.squares[i], face(i).squares, atol=1e-4)
        np.testing.assert_array_equal(found[i].boxes, face(i).boxes)


def test_where_o_net_is_not_sure_the_cascade_looks_at_every_frame() -> None:
    cascade = Cascade(sure=0.5)
    assert [f.boxes.tolist() for f in detected(cascade)] == [
        face(i).boxes.tolist() for i in range(N)
    ]
    assert sorted(cascade.whole) == list(range(N))
