"""Follow people through a clip: detections of consecutive frames linked into tracks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.faces.likeness import SAME_NEXT, look, unit


@dataclass(frozen=True)
class Face:
    """A face in a frame.

    box: float32 [4], x1 y1 x2 y2 px; landmarks: float32 [5, 2] px; image: the aligned face, uint8;
    inside: the share of the box that lies within the picture.
    """

    time_s: float
    box: np.ndarray
    landmarks: np.ndarray
    probability: float
    image: np.ndarray
    inside: float = 1.0

    @cached_property
    def look(self) -> np.ndarray:
        """See `likeness`."""
        return look(self.image)

    @property
    def area_px(self) -> float:
        """The area of the box."""
        return float(np.prod(np.maximum(self.box[2:] - self.box[:2], 0)))


class Track:
    """One person without interruption: at most one face a frame, in order.

    What it sums up stays known when its faces are let go.
    """

    def __init__(self, face: Face, frame: int) -> None:
        self.faces: list[Face] = []
        self.begins_s = face.time_s
        self.count = 0
        self.area_px = 0.0  # summed over the faces, so that both large and long count
        self._probability, self._looks = 0.0, np.zeros_like(face.look)
        self.append(face, frame)

    def append(self, face: Face, frame: int) -> None:
        """Go on with the face found in the frame of that number."""
        self.faces.append(face)
        self.last, self.last_frame = face, frame
        self.count += 1
        self.area_px += face.area_px
        self._probability += face.probability
        self._looks = self._looks + face.look

    @property
    def ends_s(self) -> float:
        """When its last face is seen."""
        return self.last.time_s

    @property
    def probability(self) -> float:
        """The mean of its faces'."""
        return self._probability / self.count

    @property
    def look(self) -> np.ndarray:
        """The mean look of its faces."""
        return unit(self._looks)


class Tracker:
    """Links faces frame by frame: those overlap most belong together, best pairs first.

    However much they overlap, faces that look different are no pair. A track outlives frames
    without its face for up to `max_gap_s`, and always until the next frame; a cut ends all of
    them. Unless `keep` is set, the faces of tracks that have ended and can't be the largest are
    let go.
    """

    def __init__(self, min_iou: float, max_gap_s: float, keep: bool = False) -> None:
        self.min_iou, self.max_gap_s, self.keep = min_iou, max_gap_s, keep
        self.tracks: list[Track] = []
        self.cuts_s: list[float] = []
        self._frame = -1
        self._live: list[Track] = []

    @property
    def largest(self) -> Track | None:
        """The track with the largest summed box area so far, the earliest of equals."""
        return max(self.tracks, key=lambda track: track.area_px, default=None)

    def add(self, time_s: float, faces: list[Face], cut: bool = False) -> None:
        """Take in the next frame. cut: whether another scene begins with it."""
        self._frame += 1
        if cut:
            self.cuts_s.append(time_s)
        self._end([t for t in self._live if cut or not self._can_go_on(t, time_s)])
        pairs = self._pairs(faces)
        for i, j in pairs:
            self._live[i].append(faces[j], self._frame)
        linked = {j for _, j in pairs}
        begun = [Track(face, self._frame) for j, face in enumerate(faces) if j not in linked]
        self.tracks += begun
        self._live += begun

    def _can_go_on(self, track: Track, time_s: float) -> bool:
        gap_s = time_s - track.ends_s
        return gap_s <= self.max_gap_s or track.last_frame == self._frame - 1

    def _pairs(self, faces: list[Face]) -> list[tuple[int, int]]:
        """Live tracks and the faces that go on with them, by number."""
        if not faces or not self._live:
            return []
        last = [track.last for track in self._live]
        overlap = iou(*(np.stack([face.box for face in some]) for some in (last, faces)))
        likeness = np.stack([f.look for f in last]) @ np.stack([f.look for f in faces]).T
        return best_pairs(np.where(likeness >= SAME_NEXT, overlap, 0), self.min_iou)

    def _end(self, ended: list[Track]) -> None:
        if not ended:
            return
        self._live = [track for track in self._live if track not in ended]
        largest = self.largest
        for track in self.tracks:
            if not (self.keep or track is largest or track in self._live):
                track.faces = []


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
