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

import numpy as np

from pipeline.faces.detections import Detections
from pipeline.faces.mtcnn import Detector
from pipeline.faces.tracker import best_pairs, iou
from pipeline.faces.windows import Window

# What O-Net must say of a face that is carried to it, or the cascade looks: so probable (or as the
# cascade's threshold has it, if that is higher), and so near to where an even motion brings it.
SURE, NEAR_IOU = 0.9, 0.7

Gap = tuple[int, int]


@dataclass(frozen=True)
class KeyFrameDetector:
    """The cascade on key frames, O-Net on the frames between them.

    min_iou: faces in two key frames that overlap so much are one.
    """

    cascade: Detector
    min_iou: float

    def detect(
        self, windows: Sequence[Window], before: Sequence[Detections | None]
    ) -> list[list[Detections]]:
        """The faces of every frame of windows of different clips, in few batches over them all.

        before: what was found in the last frame of the window before, where a window follows one.
        """
        works = [_Work(window, last) for window, last in zip(windows, before, strict=True)]
        while any(work.wanted for work in works):
            self._find(works)
            self._carry(works)
        return [[work.found[i] for i in range(len(work.window.frames))] for work in works]

    @property
    def _sure(self) -> float:
        return max(SURE, self.cascade.thresholds[2])

    def _find(self, works: Sequence[_Work]) -> None:
        """The cascade on the key frames that are new."""
        wanted = [(work, i) for work in works for i in work.wanted]
        faces = self.cascade.detect([work.picture(i) for work, i in wanted])
        for (work, i), found in zip(wanted, faces, strict=True):
            work.found[i] = found
            work.wanted = []

    def _carry(self, works: Sequence[_Work]) -> None:
        """Close the gaps between key frames, or halve those that can't be closed."""
        paths = [(work, gap, self._path(work, gap)) for work in works for gap in work.open_gaps()]
        wanted = [
            (work.picture(i), squares)
            for work, (a, b), path in paths
            if path is not None
            for i, squares in zip(range(a + 1, b), path.squares, strict=True)
        ]
        looks = iter(self.cascade.look(*zip(*wanted, strict=True)) if wanted else [])
        for work, (a, b), path in paths:
            faces = [next(looks) for _ in range(a + 1, b)] if path is not None else []
            if path is not None and path.is_confirmed_by(faces, self._sure):
                work.found.update(
                    zip(range(a + 1, b), map(Detections.by_score, faces), strict=True)
                )
            else:
                work.wanted.append((a + b) // 2)

    def _path(self, work: _Work, gap: Gap) -> _Path | None:
        """Where the faces of a gap should be, unless its ends show different ones."""
        first, last = (work.found[i] for i in gap)
        pairs = best_pairs(iou(first.boxes, last.boxes), self.min_iou)
        if not len(first.boxes) == len(last.boxes) == len(pairs):
            return None
        i, j = np.array(pairs, np.int64).reshape(-1, 2).T
        share = np.linspace(0, 1, gap[1] - gap[0] + 1, dtype=np.float32)[1:-1, None, None]
        ends = (first.boxes, last.boxes), (first.squares, last.squares)
        return _Path(*(a[i] * (1 - share) + b[j] * share for a, b in ends))


@dataclass(frozen=True)
class _Path:
    """boxes, squares: float32 [frames, faces, 4], where the faces of a gap are expected."""

    boxes: np.ndarray
    squares: np.ndarray

    def is_confirmed_by(self, faces: Sequence[Detections], sure: float) -> bool:
        """Whether O-Net is that sure of every face, near to where it was expected."""
        return all(
            (found.probabilities > sure).all()
            and (iou(found.boxes, expected).diagonal() >= NEAR_IOU).all()
            for found, expected in zip(faces, self.boxes, strict=True)
        )


class _Work:
    """A window under way: found, faces by frame; wanted, the frames that the cascade is to see."""

    def __init__(self, window: Window, before: Detections | None) -> None:
        self.window = window
        self.found: dict[int, Detections] = {}
        if window.follows and before is not None:
            self.found[0] = before
        self.wanted = [i for i in window.keys if i not in self.found]

    def picture(self, i: int) -> np.ndarray:
        return self.window.frames[i][1]

    def open_gaps(self) -> list[Gap]:
        """Where faces are found at both ends and nowhere between."""
        return [(a, b) for a, b in pairwise(sorted(self.found)) if b - a > 1]
