"""Where another scene begins: a picture that differs far more than those around it do.

Pictures are compared as thumbs freed of their brightness and contrast, so that a dark scene counts
as a bright one does. A change is a cut where it stands out from the changes before and after it,
as in PySceneDetect's adaptive detector, and the pictures don't come back: a flash does, and while a
camera swings every change is large. A dissolve has no such picture, and is no cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

THUMB_PX = (32, 18)  # width, height: enough to tell scenes apart, too coarse to see a face move
SEEN_ROWS = 180  # of a picture, for that: ten to a row of the thumb
FLATTEST = 0.004  # of full range: the contrast that a picture is taken to have at least

BEFORE, AHEAD = 8, 4  # frames whose changes a cut has to stand out from
AHEAD_PX = 9 * 1920 * 1080  # of the pictures that are held for that: 56 MB as rgb
# In standard deviations of the picture: changes below `STILL` are as good as none, and so are those
# below `UNKNOWN` as long as fewer than `FEW` have been seen.
STILL, UNKNOWN, FEW = 0.04, 0.15, 4
BACK = 0.75  # of a change: a picture so near to the one before it has come back
FOREMOST = 5  # times as large a change, soon after, is the cut instead

Frame = tuple[float, np.ndarray]


class SceneCuts:
    """ratio: how many times as large as those around it the change is that counts as a cut."""

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio
        self._before: deque[float] = deque(maxlen=BEFORE)
        self._last: np.ndarray | None = None
        self._held: deque[tuple[Frame, np.ndarray]] = deque()

    def marked(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
        """Each frame, and whether it begins another scene; up to `AHEAD` frames late.

        Where pictures are so large that fewer can be held, it looks less far ahead.
        """
        for frame in frames:
            self._held.append((frame, thumb(frame[1])))
            while len(self._held) > min(AHEAD, AHEAD_PX // frame[1][..., 0].size):
                yield self._next()
        while self._held:
            yield self._next()

    def _next(self) -> tuple[Frame, bool]:
        frame, seen = self._held.popleft()
        last, self._last = self._last, seen
        if last is None:
            return frame, False
        change = difference(last, seen)
        still = STILL if len(self._before) >= FEW else UNKNOWN
        is_cut = change >= self.ratio * max(still, *self._before, self._after(seen))
        is_cut = is_cut and not self._comes_back(last, change)
        if is_cut:
            self._before.clear()
        else:
            self._before.append(change)
        return frame, is_cut

    def _after(self, seen: np.ndarray) -> float:
        """The second largest change of those that follow: the largest may end a dip to black."""
        thumbs = [seen, *(thumb for _, thumb in self._held)]
        changes = sorted(difference(a, b) for a, b in pairwise(thumbs))
        return max([0.0, *changes[:-1], *(change / FOREMOST for change in changes)])

    def _comes_back(self, last: np.ndarray, change: float) -> bool:
        return any(difference(last, thumb) < BACK * change for _, thumb in self._held)


def thumb(rgb: np.ndarray) -> np.ndarray:
    """A picture in small, float32 [rows, columns, 3], of mean 0 in each colour and deviation 1."""
    # OpenCV is loaded where faces are made, not where a run is planned.
    import cv2

    step = max(1, rgb.shape[0] // SEEN_ROWS)
    some = np.ascontiguousarray(rgb[::step, ::step])
    small = cv2.resize(some, THUMB_PX, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    small -= small.mean((0, 1))
    return np.asarray(small / max(float(small.std()), FLATTEST))


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """The mean absolute difference of two thumbs, in standard deviations."""
    return float(np.abs(a - b).mean())
