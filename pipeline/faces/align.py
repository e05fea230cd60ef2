"""Bring a face upright, centred and to one size by its five landmarks."""

from __future__ import annotations

import numpy as np

SIZE_PX = 112
# Where the eyes, the nose and the corners of the mouth (as the viewer sees them, left before
# right) belong in a 112×112 face. Source: InsightFace's `face_align.py`, the template of ArcFace
# (Deng et al., CVPR 2019).
TEMPLATE_PX = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)


def similarity(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The rotation, scaling and shift that bring `points` [n, 2] closest to `targets` [n, 2].

    Returns float64 [2, 3], to be applied as A·(x, y, 1). With points as complex numbers it is
    the line of least squares; it never mirrors. Source: Umeyama, PAMI 1991, in two dimensions.
    """
    z = points.astype(np.float64) @ (1, 1j)
    w = targets.astype(np.float64) @ (1, 1j)
    centred = z - z.mean()
    turn = np.vdot(centred, w - w.mean()) / np.vdot(centred, centred).real
    shift = w.mean() - turn * z.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def align(rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The face at `landmarks` [5, 2] (px) of `rgb` [h, w, 3] as uint8 [112, 112, 3].

    What lies outside the picture is black. A large face is first shrunk by whole pixels, so that
    fine detail is averaged instead of skipped.
    """
    # OpenCV is loaded where faces are made, not where a run is planned.
    import cv2

    to_template = similarity(landmarks, TEMPLATE_PX)
    shrink = int(1 / np.hypot(*to_template[:, 0]))
    if shrink > 1:
        rgb, to_frame = _shrunk(rgb, to_template, shrink)
        to_template = to_template @ to_frame
    return cv2.warpAffine(rgb, to_template, (SIZE_PX, SIZE_PX), flags=cv2.INTER_LINEAR)


def _shrunk(rgb: np.ndarray, to_template: np.ndarray, by: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of `rgb` that the template shows, `by` times smaller, and [3, 3] back to `rgb`."""
    import cv2

    back = np.linalg.inv(np.vstack([to_template, (0, 0, 1)]))[:2]
    corners = np.array([(x, y, 1) for x in (0, SIZE_PX) for y in (0, SIZE_PX)]) @ back.T
    limits = rgb.shape[1::-1]
    left, top = np.clip(np.floor(corners.min(0)).astype(int) - by, 0, limits)
    right, bottom = np.clip(np.ceil(corners.max(0)).astype(int) + by, 0, limits)
    columns, rows = max((right - left) // by, 1), max((bottom - top) // by, 1)
    part = rgb[top : top + rows * by, left : left + columns * by]
    middle = (by - 1) / 2  # of a block of pixels, which is where the small pixel's centre lies
    to_frame = np.array([[by, 0, left + middle], [0, by, top + middle], [0, 0, 1]])
    return cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA), to_frame
