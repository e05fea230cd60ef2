"""Follow one person through a clip: detections of consecutive frames linked into tracks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

THUMB_PX = (16, 9)  # width, height: enough to tell scenes apart, too coarse to see a face move
SEEN_ROWS = 180  # of a picture, for that: twenty to a row of the thumb


@dataclass(frozen=True)
class Face:
    """A face in a frame.

    box: float32 [4], x1 y1 x2 y2 px; landmarks: float32 [5, 2] px; image: the aligned face, uint8.
    """

    time_s: float
    box: np.ndarray
    landmarks: np.ndarray
    probability: float
    image: np.ndarray

    @property
    def area_px(self) -> float:
        """The area of the box."""
        return float(np.prod(np.maximum(self.box[2:] - self.box[:2], 0)))


class Track:
    """One person without interruption: at most one face a frame, in order."""

    def __init__(self) -> None:
        self.faces: list[Face] = []
        self.area_px = 0.0  # summed over the faces, so that both large and long count
        self.last_frame = -1

    def append(self, face: Face, frame: int) -> None:
        """Go on with the face found in the frame of that number."""
        self.faces.append(face)
        self.area_px += face.area_px
        self.last_frame = frame


class Tracker:
    """Links faces frame by frame: those overlap most belong together, best pairs first.

    A track outlives frames without its face for up to `max_gap_s`, and always until the next
    frame; a cut ends all of them. Tracks that have ended and can't be the largest are let go.
    """

    def __init__(self, min_iou: float, max_gap_s: float) -> None:
        self.min_iou, self.max_gap_s = min_iou, max_gap_s
        self.count = 0
        self._frame = -1
        self._live: list[Track] = []
        self._largest_ended: Track | None = None

    @property
    def largest(self) -> Track | None:
        """The track with the largest summed box area so far, the earliest of equals."""
        ended = [self._largest_ended] if self._largest_ended else []
        return max([*ended, *self._live], key=lambda track: track.area_px, default=None)

    def add(self, time_s: float, faces: list[Face], cut: bool = False) -> None:
        """Take in the next frame. cut: whether another scene begins with it."""
        self._frame += 1
        self._end([t for t in self._live if cut or not self._can_go_on(t, time_s)])
        free = list(faces)
        for track, face in self._pairs(free):
            track.append(face, self._frame)
            free = [other for other in free if other is not face]
        for face in free:
            self._begin(face)

    def _can_go_on(self, track: Track, time_s: float) -> bool:
        gap_s = time_s - track.faces[-1].time_s
        return gap_s <= self.max_gap_s or track.last_frame == self._frame - 1

    def _pairs(self, faces: list[Face]) -> list[tuple[Track, Face]]:
        """Tracks and the faces that go on with them."""
        if not faces or not self._live:
            return []
        overlap = iou(
            np.stack([track.faces[-1].box for track in self._live]),
            np.stack([face.box for face in faces]),
        )
        return [(self._live[i], faces[j]) for i, j in best_pairs(overlap, self.min_iou)]

    def _begin(self, face: Face) -> None:
        track = Track()
        track.append(face, self._frame)
        self._live.append(track)
        self.count += 1

    def _end(self, ended: list[Track]) -> None:
        largest = self.largest
        if largest in ended:
            self._largest_ended = largest
        self._live = [track for track in self._live if track not in ended]


class Cuts:
    """Sees where another scene begins: the picture changes by more than `level` of full range."""

    def __init__(self, level: float) -> None:
        self.level = level
        self._before: np.ndarray | None = None

    def at(self, rgb: np.ndarray) -> bool:
        """Whether the scene of this frame is another than that of the frame before."""
        # OpenCV is loaded where faces are made, not where a run is planned.
        import cv2

        step = max(1, rgb.shape[0] // SEEN_ROWS)
        some = np.ascontiguousarray(rgb[::step, ::step])
        thumb = cv2.resize(some, THUMB_PX, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        before, self._before = self._before, thumb
        return before is not None and float(np.abs(thumb - before).mean()) > self.level


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of [n, 4] with every box of [m, 4]: [n, m]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return shared / np.maximum(union, np.finfo(np.float32).tiny)


def best_pairs(overlap: np.ndarray, least: float) -> list[tuple[int, int]]:
    """Of [n, m] overlaps the pairs (i, j) of at least `least`, the best first, each in one pair."""
    left, pairs = overlap.copy(), []
    for _ in range(min(left.shape)):
        i, j = np.unravel_index(left.argmax(), left.shape)
        if left[i, j] < least:
            break
        pairs.append((int(i), int(j)))
        left[i], left[:, j] = -1, -1
    return pairs
