"""How much the faces of a clip can be relied on: measures of them, and levels for doubt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from pydantic import Field as PydanticField

from pipeline.faces.align import TEMPLATE_PX
from pipeline.faces.likeness import INNER, unit
from pipeline.faces.tracker import Face
from pipeline.stage.field import Field
from pipeline.stage.settings import StageSettings

EYES_PX = TEMPLATE_PX[1, 0] - TEMPLATE_PX[0, 0]  # from eye to eye in an aligned face
# The five points of a face from the front, in distances between the eyes: x to the right, y down,
# z towards the camera. x and y are the template's; z is that of an average head, where the tip of
# the nose stands 0.5 before the eyes and the corners of the mouth 0.1.
DEPTH = np.array([0.0, 0.0, 0.5, 0.1, 0.1])
HEAD = np.column_stack([TEMPLATE_PX / EYES_PX, DEPTH])
HEAD = HEAD - HEAD.mean(axis=0)


class Levels(StageSettings):
    """Below (or above) which a clip's faces are doubtful."""

    probability: float = PydanticField(0.9, ge=0, le=1)
    """Minimum mean probability."""

    coverage: float = PydanticField(0.25, ge=0, le=1)
    """Minimum share of the frames that show the face."""

    eyes_px: float = PydanticField(12, ge=0)
    """Minimum distance between the eyes, in pixels of the video."""

    sharpness: float = PydanticField(0.01, ge=0)
    """Minimum sharpness."""

    turned_deg: float = PydanticField(60, ge=0)
    """Maximum angle by which the head is turned, sideways or up and down."""

    inside: float = PydanticField(0.8, ge=0, le=1)
    """Minimum share of the face's box that lies within the picture."""

    runner_up: float = PydanticField(0.8, ge=0)
    """Maximum size of the next person, or how far that one's mouth moves while there is sound, as a
    share of the one who is followed."""

    damaged: float = PydanticField(0.1, ge=0, le=1)
    """Maximum share of the frames that are damaged."""


UNITS = {"eye_distance": "px", "yaw": "deg", "pitch": "deg", "roll": "deg"}


@dataclass(frozen=True)
class Quality:
    """Measures of a clip, by the names they are stored under; medians over its sampled faces.

    But mean_probability is of all faces, and coverage the share of the frames that show one;
    runner_up: see `people.Choice`; damaged: the share of the pictures. eye_distance: in px;
    sharpness: see below; yaw, pitch, roll: how far the head is turned, in degrees without sign;
    inside: the share of the box within the picture.
    """

    mean_probability: float
    coverage: float
    eye_distance: float
    sharpness: float
    yaw: float
    pitch: float
    roll: float
    inside: float
    runner_up: float
    damaged: float

    @classmethod
    def of(cls, faces: Sequence[Face], **of_clip: float) -> Quality:
        """faces: those that are sampled. of_clip: the measures that are not medians of theirs."""
        angles = np.abs([pose(face.landmarks) for face in faces])
        yaw, pitch, roll = np.median(angles, axis=0).tolist()
        eyes = [float(np.hypot(*(face.landmarks[1] - face.landmarks[0]))) for face in faces]
        return cls(
            eye_distance=float(np.median(eyes)),
            sharpness=float(np.median([sharpness(face.image) for face in faces])),
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            inside=float(np.median([face.inside for face in faces])),
            **of_clip,
        )

    @classmethod
    def fields(cls) -> dict[str, Field]:
        return {f.name: Field((), "float32", UNITS.get(f.name, "")) for f in fields(cls)}

    def doubt(self, levels: Levels, by_speech: bool = False) -> str:
        """What lies beyond its level, with both; "" where nothing does.

        by_speech: whether the speaker is followed, whom a larger person leaves in no doubt.
        """
        what, how = ("mouth moves", "far") if by_speech else ("person", "large")
        another = f"another {what} {{:.0%}} as {how} (at most {{:.0%}})"
        at_least = (
            (self.coverage, levels.coverage, "face in {:.0%} of the frames (at least {:.0%})"),
            (self.mean_probability, levels.probability, "mean probability {:.2f} (at least {:g})"),
            (self.eye_distance, levels.eyes_px, "{:.0f} px between the eyes (at least {:g})"),
            (self.sharpness, levels.sharpness, "sharpness {:.3f} (at least {:g})"),
            (self.inside, levels.inside, "{:.0%} of the face in the picture (at least {:.0%})"),
        )
        turned = max(self.yaw, self.pitch)
        at_most = (
            (turned, levels.turned_deg, "head turned by {:.0f}° (at most {:g}°)"),
            (self.runner_up, levels.runner_up, another),
            (self.damaged, levels.damaged, "{:.0%} of the pictures are damaged (at most {:.0%})"),
        )
        found = [said.format(value, level) for value, level, said in at_least if value < level]
        found += [said.format(value, level) for value, level, said in at_most if value > level]
        return ", ".join(found).replace("%", " %")


def pose(landmarks: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees from five landmarks [5, 2] px: a rough estimate.

    The head of the average is laid over them in scaled orthographic projection. Yaw is positive
    where the nose points to the viewer's right, pitch where it points down, roll where the head is
    turned clockwise.
    """
    points = landmarks - landmarks.mean(axis=0)
    (across, down), *_ = np.linalg.lstsq(HEAD, points, rcond=None)[0].T[None]
    across, down = unit(across), unit(down)
    yaw = np.arcsin(np.clip(across[2], -1, 1))
    pitch = np.arcsin(np.clip(down[2], -1, 1))
    roll = np.arctan2(down[0] - across[1], across[0] + down[1])
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))


def sharpness(image: np.ndarray) -> float:
    """The variance of the Laplacian of an aligned face over the variance of its brightness.

    So neither light nor contrast counts, and a face that was enlarged to be aligned is blurred.
    """
    # OpenCV is loaded where faces are made, not where a run is planned.
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(image[INNER]), cv2.COLOR_RGB2GRAY)
    grey = grey.astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var() / max(float(grey.var()), 1.0))


def inside(box: np.ndarray, size: tuple[int, int]) -> float:
    """The share of a box, x1 y1 x2 y2 px, that lies within a picture of that height and width."""
    limits = np.array([size[1], size[0]], np.float64)
    low, high = np.clip(box[:2], 0, limits), np.clip(box[2:], 0, limits)
    whole = float(np.prod(np.maximum(box[2:] - box[:2], 0)))
    return float(np.prod(high - low)) / whole if whole else 0.0
