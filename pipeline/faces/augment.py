"""Faces made worse on purpose: partly covered, or blurred, by as much as settings say.

Where a face is, is found in the clean picture. What is then done to the aligned face is told in
pixels of its frame too, so that whoever cuts the face out anew sees it as bad.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from pydantic import Field as PydanticField

from pipeline.faces.align import SIZE_PX, TEMPLATE_PX, similarity
from pipeline.faces.tracker import Face
from pipeline.io.hashing import seed_of
from pipeline.media import Frame, Frames
from pipeline.stage.field import Field
from pipeline.stage.settings import StageSettings

GREY = (127, 127, 127)
COVERS = {"covers": Field(("step", 4, 2), "float32", unit="px")}  # corners of what covers the face
BLURS = {"blurs": Field(("step",), "float32", unit="px")}  # deviations of a Gaussian


class Augment(StageSettings):
    """What is done to a clip's faces; nothing by default."""

    blur_px: float = PydanticField(0.0, ge=0, le=SIZE_PX / 4)
    """Standard deviation of a Gaussian blur, in pixels of the aligned face of 112."""

    occluded: float = PydanticField(0.0, ge=0, le=1)
    """Share of the aligned face that a grey square covers."""

    def fields(self) -> dict[str, Field]:
        """What `of` tells beside the faces."""
        return {**(COVERS if self.occluded else {}), **(BLURS if self.blur_px else {})}

    def of(self, faces: Sequence[Face], clip_id: str) -> tuple[Sequence[Face], dict[str, Any]]:
        """The faces as they look then, and a row for each of `fields`."""
        if not self.fields():
            return faces, {}
        square, rows = _square(self.occluded, clip_id), dict[str, Any]()
        to_template = [similarity(face.landmarks, TEMPLATE_PX) for face in faces]
        if self.occluded:
            faces = [replace(face, image=covered(face.image, square)) for face in faces]
            rows["covers"] = [(square - a[:, 2]) @ np.linalg.inv(a[:, :2]).T for a in to_template]
        if self.blur_px:
            faces = [replace(face, image=blurred(face.image, self.blur_px)) for face in faces]
            rows["blurs"] = [self.blur_px / np.hypot(*a[:, 0]) for a in to_template]
        return faces, rows


@dataclass
class AugmentedFrames(Frames):
    """Frames of which `at` gives those of a clip's steps as `rows`, of `Augment.of`, have them."""

    rows: Mapping[str, Any] = field(default_factory=dict)

    def at(self, times: Iterable[float]) -> Iterator[Frame]:
        """The frames at the steps' own times, with the same done to the face."""
        for step, (time_s, rgb) in enumerate(super().at(times)):
            if "covers" in self.rows:
                rgb = covered(rgb, self.rows["covers"][step])
            if "blurs" in self.rows:
                rgb = blurred(rgb, float(self.rows["blurs"][step]))
            yield time_s, rgb


def covered(rgb: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The picture [h, w, 3] with grey over the rectangle of these corners [4, 2], x y px."""
    # OpenCV is loaded where faces are made, not where a run is planned.
    import cv2

    parts = 4  # bits: OpenCV takes sixteenths of a pixel
    points = np.rint(np.asarray(corners, np.float64) * (1 << parts)).astype(np.int32)
    return cv2.fillConvexPoly(rgb.copy(), points, GREY, shift=parts)


def blurred(rgb: np.ndarray, deviation_px: float) -> np.ndarray:
    """The picture [h, w, 3] through a Gaussian; beyond its edges it is mirrored."""
    import cv2

    return cv2.GaussianBlur(rgb, (0, 0), deviation_px)


def _square(share: float, clip_id: str) -> np.ndarray:
    """The corners [4, 2] of a square within an aligned face: its outermost pixels.

    A larger one of the same clip covers all that a smaller one does.
    """
    side = round(SIZE_PX * share**0.5)
    left, top = np.rint(np.random.default_rng(seed_of(clip_id)).random(2) * (SIZE_PX - side))
    right, bottom = left + side - 1, top + side - 1
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
