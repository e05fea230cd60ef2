"""The loose picture of a face that py-feat's networks look at, cropped from its frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.errors import ClipError
from pipeline.media import Frames
from pipeline.system.spans import span

EXPANSION = 1.2  # of the detector's box, in both of py-feat's detectors
SQUARE_PX, STRETCHED_PX = 256, 112

Crop = Callable[[np.ndarray, np.ndarray], np.ndarray]
Taps = tuple[np.ndarray, np.ndarray, np.ndarray]


@span("decode")
def chips(frames: Frames, times: np.ndarray, boxes: np.ndarray, crop: Crop) -> np.ndarray:
    """The face in each of the frames at `times` (s, ascending) as uint8 rgb [n, px, px, 3].

    boxes: [n, 4], x1 y1 x2 y2 in px of the frame. Raises ClipError where the video has no frame at
    one of the times.
    """
    found = [crop(rgb, box) for (_, rgb), box in zip(frames.at(times), boxes, strict=False)]
    if len(found) < len(times):
        raise ClipError(
            f"the video has no picture at {times[len(found)]:.3f} s, where `faces` found one; "
            "run it again for this clip"
        )
    return np.stack(found)


def square(rgb: np.ndarray, box: np.ndarray) -> np.ndarray:
    """uint8 [256, 256, 3] around `box` [4] of `rgb` [h, w, 3], in one scale, mirrored beyond edges.

    py-feat's `Detectorv2` crops so: the longer side of the box × 1.2 becomes the square.
    Source: py-feat 2.1.5, `extract_face_square_pad_torch`.
    """
    x1, y1, x2, y2 = box.astype(np.float64)
    side = max(EXPANSION * max(x2 - x1, y2 - y1), 1.0)
    height, width = rgb.shape[:2]
    columns = _mirrored(_spread((x1 + x2) / 2, side, SQUARE_PX), width)
    rows = _mirrored(_spread((y1 + y2) / 2, side, SQUARE_PX), height)
    return _sampled(rgb, rows, columns)


def stretched(rgb: np.ndarray, box: np.ndarray) -> np.ndarray:
    """uint8 [112, 112, 3] of `box` [4] × 1.2 of `rgb` [h, w, 3], each side by itself, black beyond.

    py-feat's `Detectorv1` crops so, whose grid lies about half a pixel to the upper left.
    Source: py-feat 2.1.5, `extract_face_from_bbox_torch`.
    """

    def taps(low: float, high: float, px: int) -> Taps:
        at = _spread((low + high) / 2, EXPANSION * (high - low), STRETCHED_PX)
        return _blackened(at * px / (px - 1) - 0.5, px)

    x1, y1, x2, y2 = box.astype(np.float64)
    height, width = rgb.shape[:2]
    return _sampled(rgb, taps(y1, y2, height), taps(x1, x2, width))


def _spread(middle: float, side: float, size: int) -> np.ndarray:
    """Where `size` pixels lie that share a side between them."""
    return middle - side / 2 + (np.arange(size) + 0.5) / size * side


def _mirrored(at: np.ndarray, px: int) -> Taps:
    """The two pixels around each position and how much each counts, mirrored at the edges."""
    folded = np.abs(at + 0.5) % (2 * px)
    inside = np.minimum(folded, 2 * px - folded) - 0.5
    inside = inside.clip(0, px - 1)
    first, weights = _split(inside)
    return first, np.minimum(first + 1, px - 1), weights


def _blackened(at: np.ndarray, px: int) -> Taps:
    """The same, with no weight for pixels beyond the edges."""
    first, weights = _split(at)
    pair = np.stack([first, first + 1])
    weights *= (pair >= 0) & (pair < px)
    first, second = pair.clip(0, px - 1)
    return first, second, weights


def _split(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixel at or before each position, and float32 [2, n]: its weight and the next one's."""
    first = np.floor(at).astype(int)
    share = (at - first).astype(np.float32)
    return first, np.stack([1 - share, share])


def _sampled(rgb: np.ndarray, rows: Taps, columns: Taps) -> np.ndarray:
    """Bilinear: the rows of `rgb` first, of those columns alone that are looked at."""
    top, bottom, down = rows
    left, right, across = columns
    begin, size = left.min(), len(top)
    part = rgb[:, begin : right.max() + 1]
    # Colours lie side by side, so that numpy's innermost loops are long.
    seen = part[top].reshape(size, -1) * down[0][:, None]
    seen += part[bottom].reshape(size, -1) * down[1][:, None]
    seen = seen.reshape(size, -1, 3)
    first, second = np.repeat(across, 3, axis=1)
    chip = seen.take(left - begin, axis=1).reshape(size, -1) * first
    chip += seen.take(right - begin, axis=1).reshape(size, -1) * second
    return np.rint(chip, out=chip).astype(np.uint8).reshape(size, -1, 3)
