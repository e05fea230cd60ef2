"""The faces of a clip with their times, and one of them in its frame of the video."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.errors import ClipError
from pipeline.html import data_uri
from pipeline.inspect.finding import Finding
from pipeline.inspect.sound import SoundPanel
from pipeline.inspect.source import Frame, frame_at
from pipeline.inspect.timeline import Timeline, quality, timeline
from pipeline.store.clips_table import Row

WIDEST_PX = 960


@dataclass(frozen=True)
class Face:
    """An aligned face as it was stored."""

    step: int
    time_s: float
    picture: str


@dataclass(frozen=True)
class Setting:
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

    faces: tuple[Face, ...]
    chosen: int
    setting: Setting | None
    why_not: str
    facts: tuple[tuple[str, str], ...]
    timeline: Timeline | None
    template: str = "faces"


def panel(
    finding: Finding, row: Row, at_s: float | None = None, sound: SoundPanel | None = None
) -> FacesPanel:
    """at_s: the face nearest to that time is shown in its frame; by default the surest one."""
    rows = finding.rows
    distance = -rows["probabilities"] if at_s is None else np.abs(rows["times"] - at_s)
    chosen = int(np.argmin(distance))
    setting, why_not = None, ""
    try:
        frame = frame_at(row, float(rows["times"][chosen]), finding.identity)
        setting = _setting(frame, rows["boxes"][chosen], rows["landmarks"][chosen])
    except ClipError as error:
        why_not = str(error)
    faces = zip(rows["times"].tolist(), rows["images"], strict=True)
    return FacesPanel(
        tuple(
            Face(i, time_s, data_uri(rgb, quality=85)) for i, (time_s, rgb) in enumerate(faces, 1)
        ),
        chosen,
        setting,
        why_not,
        _facts(finding, chosen),
        timeline(finding, sound),
    )


def _setting(frame: Frame, box: np.ndarray, points: np.ndarray) -> Setting:
    height, width = frame.rgb.shape[:2]
    scale = WIDEST_PX / max(height, width)
    shown = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(frame.rgb, shown, interpolation=cv2.INTER_AREA) if scale < 1 else frame.rgb
    left, top, right, bottom = (round(float(edge), 1) for edge in box)
    at = tuple((round(float(x), 1), round(float(y), 1)) for x, y in points)
    box_at = (left, top, round(right - left, 1), round(bottom - top, 1))
    return Setting(data_uri(small), (width, height), shown, box_at, at, frame.time_s)


def _facts(finding: Finding, chosen: int) -> tuple[tuple[str, str], ...]:
    rows = finding.rows
    left, top, right, bottom = rows["boxes"][chosen].tolist()
    begins_s, ends_s = rows["track_span"].tolist()
    return (
        ("Shown", f"step {chosen + 1}, {rows['times'][chosen]:.2f} s"),
        ("Face", f"{right - left:.0f} × {bottom - top:.0f} px"),
        ("Probability", f"{rows['probabilities'][chosen]:.3f}"),
        ("Track", f"{begins_s:.2f} to {ends_s:.2f} s, {int(rows['track_frames'])} faces"),
        ("Frames with a face", f"{int(rows['frames_with_face']):,}"),
        ("Frames without", f"{int(rows['frames_without_face']):,}"),
        ("Tracks", f"{int(rows['tracks']):,}"),
        *quality(rows),
    )
