"""The pictures of a video, decoded with OpenCV, or with PyAV where OpenCV has no decoder."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pipeline.errors import ClipError, MissingModalityError
from pipeline.media.container import (
    LOST_END_S,
    announced_s,
    checked,
    local,
    opened,
    picture_stream,
)
from pipeline.media.time_limit import DEFAULT_S, TimeLimit

CLOCK_S = 0.001  # containers round times to milliseconds; `fps` must not stumble over that
LARGEST_PX = 1 << 26  # of a picture: twice 8K; what is larger comes of a damaged header


Frame = tuple[float, np.ndarray]


@dataclass
class Pictures(Iterable[Frame]):
    """Upright pictures in order: (seconds since the first one, rgb uint8 [height, width, 3]).

    begin: makes them anew for each pass, and tells of that pass here: begins_s, when the first is
    shown on the container's own clock, known once it has come; note, what was taken and what else
    there was, complete once the last has come.
    """

    begin: Callable[[Pictures], Iterator[Frame]]
    begins_s: float = 0.0
    note: str = ""

    def __iter__(self) -> Iterator[Frame]:
        return self.begin(self)


def frames(path: str, fps: float | None = None, time_limit_s: float = DEFAULT_S) -> Pictures:
    """The pictures of a video, decoded as they are gone through.

    Zero is the first picture that is shown: what start times, edit lists and delays of streams say
    of it is `begins_s`. fps: at most so many pictures a second, the first in each 1/fps; the others
    are never converted. Nothing is sought, decoding uses one thread.

    Raises, while it is gone through, ClipError for a file that is not there, can't be opened, has
    no picture that decodes, stops before its announced end (after its last picture) or takes longer
    than `time_limit_s` to decode; MissingModalityError for mere sound.
    """
    limit = TimeLimit("frames", time_limit_s)
    return Pictures(lambda told: _shown(told, path, fps, limit))


def _shown(told: Pictures, path: str, fps: float | None, limit: TimeLimit) -> Iterator[Frame]:
    told.begins_s, last_s = _announced_span(path, limit)
    time_s, slot = -1.0, -1
    for time_s, converted in limit.within(_pictures(path, limit), path):
        if fps is not None and slot == (slot := int((time_s + CLOCK_S) * fps)):
            continue
        rgb = converted()
        if rgb is not None:
            yield time_s, rgb
    if time_s < 0:
        raise ClipError(f"no picture of the video can be decoded: {path}")
    if time_s < last_s - LOST_END_S:
        raise ClipError(f"pictures stop at {time_s:.2f} s of {last_s:.2f} s: {path}")


# When a picture is shown, in seconds since the first, and what converts it to rgb, None if damaged.
Picture = tuple[float, Callable[[], np.ndarray | None]]


def _pictures(path: str, limit: TimeLimit) -> Iterator[Picture]:
    """OpenCV's pictures, or PyAV's where OpenCV has no decoder for them (AV1, for one)."""
    is_any = False
    for picture in _by_opencv(path, limit):
        is_any = True
        yield picture
    if not is_any:
        yield from _by_pyav(path, limit)


def _by_opencv(path: str, limit: TimeLimit) -> Iterator[Picture]:
    cv2 = _quiet_opencv()
    patience_ms = min(math.ceil(1000 * limit.seconds), 2**31 - 1)
    options = {
        cv2.CAP_PROP_N_THREADS: 1,
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: patience_ms,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC: patience_ms,
    }
    pairs = [number for option in options.items() for number in option]
    capture = cv2.VideoCapture(local(path), cv2.CAP_FFMPEG, pairs)

    def converted() -> np.ndarray | None:
        is_decoded, bgr = capture.retrieve()
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB) if is_decoded else None

    try:
        for time_s in _grabbed(capture, cv2):
            yield time_s, converted
    finally:
        capture.release()


def _grabbed(capture: Any, cv2: Any) -> Iterator[float]:
    """Step through the pictures; yields the time of each since the first, in seconds.

    Where the container has no time for a picture (bare H.264, AVI) the frame rate stands in.
    """
    interval_s = 1 / (capture.get(cv2.CAP_PROP_FPS) or 25)
    last_s = -interval_s
    while capture.grab():
        time_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        last_s = time_s if time_s > last_s else last_s + interval_s
        yield last_s


def _by_pyav(path: str, limit: TimeLimit) -> Iterator[Picture]:
    """Nothing is made up for a damaged packet: it is an error."""
    with opened(path, "video", limit) as container:
        stream = picture_stream(container)
        begins_s = None
        for frame in checked(container.decode(stream), "video", path, limit):
            if frame.time is not None:
                begins_s = frame.time if begins_s is None else begins_s
                yield frame.time - begins_s, partial(_upright, frame)


def _upright(frame: Any) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))


def _announced_span(path: str, limit: TimeLimit) -> tuple[float, float]:
    """When the pictures begin in the media, and when the last begins after that, in seconds.

    The latter is what the header announces, 0 where it announces nothing.
    """
    with opened(path, "video", limit) as container:
        stream = picture_stream(container)
        if stream is None:
            nothing = MissingModalityError if container.streams.audio else ClipError
            raise nothing(f"no picture stream: {path}")
        if stream.codec_context is None:
            raise ClipError(f"pictures can't be decoded: unknown codec: {path}")
        if stream.width * stream.height > LARGEST_PX:
            size = f"{stream.width}×{stream.height}"
            raise ClipError(f"pictures of {size} px are too large: {path}")
        begins_s = float((stream.start_time or 0) * stream.time_base)
        return begins_s, announced_s(stream) - begins_s


def _quiet_opencv() -> Any:
    """OpenCV with its and FFmpeg's own log lines off: what is wrong is said by our errors."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
