"""The faces that were found in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NO_FACES = np.zeros((0, 19), np.float32)


@dataclass(frozen=True)
class Detections:
    """The n faces of one picture, the surest first.

    boxes: float32 [n, 4], x1 y1 x2 y2 in px, may reach out of the picture; probabilities:
    float32 [n]; landmarks: float32 [n, 5, 2] px: eyes, nose, corners of the mouth; squares:
    float32 [n, 4] px, what O-Net looked at to find them.
    """

    boxes: np.ndarray
    probabilities: np.ndarray
    landmarks: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> Detections:
        """From a row a face: box, probability, landmarks, square."""
        return cls(rows[:, :4], rows[:, 4], rows[:, 5:15].reshape(-1, 5, 2), rows[:, 15:19])

    def by_score(self) -> Detections:
        """The same, the surest first."""
        order = np.argsort(-self.probabilities, kind="stable")
        return Detections(*(values[order] for values in vars(self).values()))
