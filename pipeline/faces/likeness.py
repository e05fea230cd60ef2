"""How alike two aligned faces look: enough to tell one person's next face from another's.

No network is needed: the faces are aligned, so what is left between two of one person within a
second is little. Of what the footage of `benchmarks.cuts` shows, that benchmark prints how often
each level errs.
"""

from __future__ import annotations

import numpy as np

SIDE = 16  # so coarse that a blink, a word or an error of a pixel changes little
INNER = slice(20, 104), slice(20, 92)  # rows, columns: brows to chin, without hair and background
SAME_NEXT = 0.6  # of two faces half a second apart at most
SAME_LATER = 0.7  # of two stretches, by the mean looks of each


def look(image: np.ndarray) -> np.ndarray:
    """An aligned face [112, 112, 3] as a vector of length 1, float32, free of brightness.

    The product of two looks is the correlation of the faces, −1..1; nothing is like a blank one.
    """
    # OpenCV is loaded where faces are made, not where a run is planned.
    import cv2

    inner = np.ascontiguousarray(image[INNER])
    small = cv2.resize(inner, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean((0, 1))
    return unit(small.ravel())


def unit(vector: np.ndarray) -> np.ndarray:
    """At length 1; zero stays zero."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-6))
