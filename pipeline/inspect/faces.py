"""The faces of a clip with their times, and one of them in its frame of the video."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.errors import ClipError
from pipeline.html import data_uri
from pipeline.inspect.sound import SoundPanel
from pipeline.inspect.stage_result import StageResult
from pipeline.inspect.timeline import Timeline, quality, timeline
from pipeline.inspect.video_frame import frame_at
from pipeline.store.clip_rows import Row

WIDEST_PX = 960


@dataclass(frozen=True)
class AlignedFace:
    """An aligned face as it was stored."""

    step: int
    time_s: float
    picture: str


@dataclass(frozen=True)
class FaceFrame:
    """The frame that a face was found in, in px of the video.

    box: left, top, width, height. points: the five landmarks, (x, y). shown: the size on the page.
    """

    picture: str
    size: tuple[int, int]
    shown: tuple[int, int]
    box: tuple[float, float, float, float]
    points: tuple[tuple[float, float], ...]
    time_s: float


@dataclass(frozen=True)
class FacesPanel:
    """chosen: which of the faces is shown in its frame. why_not: why none is."""

    faces: tuple[AlignedFace, ...]
    chosen: int
    frame: FaceFrame | None
    why_not: str
    facts: tuple[tuple[str, str], ...]
    timeline: Timeline | None
    template: str = "faces"


def panel(
    result: StageResult, row: Row, at_s: float | None = None, sound: SoundPanel | None = None
) -> FacesPanel:
    """at_s: the face nearest to that time is shown in its frame; by default the surest one."""
    rows = result.rows
    distance = -rows["probabilities"] if at_s is None else np.abs(rows["times"] - at_s)
    chosen = int(np.argmin(distance))
    frame, why_not = None, ""
    try:
        shown = frame_at(row, float(rows["times"][chosen]), result.identity)
        frame = _frame(*shown, rows["boxes"][chosen], rows["landmarks"][chosen])
    except ClipError as error:
        why_not = str(error)
    faces = enumerate(zip(rows["times"].tolist(), rows["images"], strict=True), 1)
    return FacesPanel(
        tuple(AlignedFace(i, t_s, data_uri(rgb, quality=85)) for i, (t_s, rgb) in faces),
        chosen,
        frame,
        why_not,
        _facts(result, chosen),
        timeline(result, sound),
    )


def _frame(time_s: float, rgb: np.ndarray, box: np.ndarray, points: np.ndarray) -> FaceFrame:
    height, width = rgb.shape[:2]
    scale = WIDEST_PX / max(height, width)
    shown = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(rgb, shown, interpolation=cv2.INTER_AREA) if scale < 1 else rgb
    left, top, right, bottom = (round(float(edge), 1) for edge in box)
    box_at = (left, top, round(right - left, 1), round(bottom - top, 1))
    at = tuple((round(float(x), 1), round(float(y), 1)) for x, y in points)
    return FaceFrame(data_uri(small), (width, height), shown, box_at, at, time_s)


def _facts(result: StageResult, chosen: int) -> tuple[tuple[str, str], ...]:
    rows = result.rows
    left, top, right, bottom = rows["boxes"][chosen].tolist()
    begins_s, ends_s = rows["track_span"].tolist()
    return (
        ("Face shown", f"step {chosen + 1}, {rows['times'][chosen]:.2f} s"),
        ("Face size", f"{right - left:.0f} × {bottom - top:.0f} px"),
        ("Probability", f"{rows['probabilities'][chosen]:.3f}"),
        ("Track", f"{begins_s:.2f} to {ends_s:.2f} s, {int(rows['track_frames'])} faces"),
        ("Frames with a face", f"{int(rows['frames_with_face']):,}"),
        ("Frames without a face", f"{int(rows['frames_without_face']):,}"),
        ("Tracks", f"{int(rows['tracks']):,}"),
        *quality(rows),
    )
