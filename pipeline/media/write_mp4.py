"""Write a clip as mp4 (H.264, AAC): for the sample dataset and for tests."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np

# With macroblock trees and B-frames together x264 decides by memory that it never wrote, whatever
# the size of the picture: bytes then differ with what the heap held (see MALLOC_PERTURB_).
REPEATABLE = "mbtree=0:bframes=0"
AUDIO_FRAME = 1024  # samples, of AAC
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}  # by the number of channels


def write_mp4(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: Fraction | int = 15,
    samples: np.ndarray | None = None,
    rate_hz: int = 16_000,
    crf: int = 20,
    preset: str = "medium",
) -> None:
    """Encode rgb frames (uint8 [height, width, 3], even sizes) and audio, the same bytes each time.

    samples: float [n] or [channels, n] in −1..1, or None for a clip without audio.
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
        if samples is not None:
            samples = np.atleast_2d(samples)
            audio = container.add_stream("aac", rate=rate_hz, layout=LAYOUTS[len(samples)])
        for image in chain([first], frames):
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode())
        if samples is not None:
            for frame in _audio_frames(samples, rate_hz):
                container.mux(audio.encode(frame))
            container.mux(audio.encode())


def _audio_frames(samples: np.ndarray, rate_hz: int) -> Iterable[av.AudioFrame]:
    for start in range(0, samples.shape[1], AUDIO_FRAME):
        block = np.ascontiguousarray(samples[:, start : start + AUDIO_FRAME], np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=LAYOUTS[len(samples)])
        frame.sample_rate, frame.pts = rate_hz, start
        yield frame
