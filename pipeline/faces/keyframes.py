"""Faces in videos at a fraction of the cost: the whole cascade on key frames, O-Net in between.

Between two key frames that show the same faces, the squares in which O-Net found them are carried
along straight lines, and O-Net alone confirms and corrects them in each frame. Where the two
differ, or O-Net isn't sure, the frame halfway becomes a key frame as well, and so on down to single
frames; a cut has a key frame on either side. With a key frame every frame it is the cascade alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pipeline.faces.detections import Detections
from pipeline.faces.mtcnn import Detector
from pipeline.faces.tracker import best_pairs, iou
from pipeline.faces.windows import Window

# What O-Net must say of a face that is carried to it, or the cascade looks: so probable (or as the
# cascade's threshold has it, if that is higher), and so near to where an even motion brings it.
SURE, NEAR_IOU = 0.9, 0.7


class Found(NamedTuple):
    """The faces of each frame of a window; searched_px: what the cascade looked at for them."""

    faces: list[Detections]
    searched_px: int


@dataclass(frozen=True)
class KeyFrameDetector:
    """The cascade on key frames, O-Net on the frames between them.

    min_iou: faces in two key frames that overlap so much are one.
    """

    cascade: Detector
    min_iou: float

    def detect(self, windows: Sequence[Window], before: Sequence[Detections | None]) -> list[Found]:
        """The faces of every frame of windows of different clips, in few batches over them all.

        before: what was found in the last frame of the window before, where a window follows one.
        """
        works = [_Work(window, last) for window, last in zip(windows, before, strict=True)]
        while any(work.wanted for work in works):
            self._find(works)
            self._carry(works)
        return [
            Found([work.found[i] for i in range(len(work.window.frames))], work.searched_px)
            for work in works
        ]

    def _find(self, works: Sequence[_Work]) -> None:
        """The cascade on the key frames that are new."""
        wanted = [(work, i) for work in works for i in work.wanted]
        faces = self.cascade.detect([work.image(i) for work, i in wanted])
        for (work, i), found in zip(wanted, faces, strict=True):
            work.found[i] = found
            work.searched_px += self.cascade.searched_px(work.image(i).shape[:2])
            work.wanted = []

    def _carry(self, works: Sequence[_Work]) -> None:
        """Close the gaps between key frames, or halve those that can't be closed."""
        paths = [
            (work, range(a + 1, b), self._path(work.found[a], work.found[b], b - a))
            for work in works
            for a, b in pairwise(sorted(work.found))
            if b - a > 1
        ]
        wanted = [
            (work.image(i), squares)
            for work, gap, path in paths
            if path is not None
            for i, squares in zip(gap, path[1], strict=True)
        ]
        looks = iter(self.cascade.look(*zip(*wanted, strict=True)) if wanted else [])
        for work, gap, path in paths:
            faces = [next(looks) for _ in gap] if path is not None else []
            if path is not None and self._are_sure(faces, path[0]):
                work.found.update(zip(gap, map(Detections.by_score, faces), strict=True))
            else:
                work.wanted.append(gap[(len(gap) - 1) // 2])

    def _path(self, first: Detections, last: Detections, n: int) -> np.ndarray | None:
        """Where the faces of the frames between two that lie `n` apart are expected.

        float32 [2, n − 1, faces, 4]: boxes and squares. None where the two show different faces.
        """
        pairs = best_pairs(iou(first.boxes, last.boxes), self.min_iou)
        if not len(first.boxes) == len(last.boxes) == len(pairs):
            return None
        i, j = np.array(pairs, np.int64).reshape(-1, 2).T
        share = np.linspace(0, 1, n + 1, dtype=np.float32)[1:-1, None, None]
        ends = (first.boxes, last.boxes), (first.squares, last.squares)
        return np.stack([a[i] * (1 - share) + b[j] * share for a, b in ends])

    def _are_sure(self, faces: Sequence[Detections], boxes: np.ndarray) -> bool:
        """Whether O-Net is sure of every face, near to where it was expected."""
        sure = max(SURE, self.cascade.thresholds[2])
        return all(
            (found.probabilities > sure).all()
            and (iou(found.boxes, expected).diagonal() >= NEAR_IOU).all()
            for found, expected in zip(faces, boxes, strict=True)
        )


class _Work:
    """A window under way: found, faces by frame; wanted, the frames that the cascade is to see."""

    def __init__(self, window: Window, before: Detections | None) -> None:
        self.window = window
        self.found: dict[int, Detections] = {}
        self.searched_px = 0
        if window.follows and before is not None:
            self.found[0] = before
        self.wanted = [i for i in window.keys if i not in self.found]

    def image(self, i: int) -> np.ndarray:
        return self.window.frames[i][1]
