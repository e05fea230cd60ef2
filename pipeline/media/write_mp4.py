"""Write a clip as mp4 (H.264, AAC): for the sample dataset and for tests."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

# With macroblock trees and B-frames together x264 decides by memory that it never wrote, whatever
# the size of the picture: bytes then differ with what the heap held (see MALLOC_PERTURB_).
REPEATABLE = "mbtree=0:bframes=0"


def write_mp4(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: Fraction | int = 15,
    samples: np.ndarray | None = None,
    rate_hz: int = 16_000,
    crf: int = 20,
    preset: str = "medium",
) -> None:
    """Encode rgb frames (uint8 [height, width, 3], even sizes) and sound, the same bytes each time.

    samples: float [n] or [channels, n] in −1..1, or None for a clip without a sound stream.
    """
    frames = iter(frames)
    first = next(frames)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        container.flags |= 0x400  # AVFMT_FLAG_BITEXACT: no encoder version, no date
        video = container.add_stream("libx264", rate=Fraction(fps))
        video.height, video.width = first.shape[:2]
        video.pix_fmt = "yuv420p"
        video.options = {
            "crf": str(crf), "preset": preset, "threads": "1", "x264-params": REPEATABLE,
        }  # fmt: skip
        sound = None if samples is None else _sound_stream(container, samples, rate_hz)
        for image in _with_first(first, frames):
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode())
        if sound is not None and samples is not None:
            for frame in _sound_frames(np.atleast_2d(samples), rate_hz):
                container.mux(sound.encode(frame))
            container.mux(sound.encode())


def _with_first(first: np.ndarray, rest: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
    yield first
    yield from rest


def _sound_stream(
    container: av.container.OutputContainer, samples: np.ndarray, rate_hz: int
) -> av.AudioStream:
    channels = len(np.atleast_2d(samples))
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    return container.add_stream("aac", rate=rate_hz, layout=layout)


def _sound_frames(samples: np.ndarray, rate_hz: int, frame: int = 1024) -> Iterable[av.AudioFrame]:
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
    for start in range(0, samples.shape[1], frame):
        block = np.ascontiguousarray(samples[:, start : start + frame], np.float32)
        audio = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        audio.sample_rate = rate_hz
        audio.pts = start
        yield audio
