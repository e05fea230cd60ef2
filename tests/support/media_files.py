"""Small media files made by code: a white flash and a click at one instant, in any container."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

FPS = 25


def write(
    path: Path,
    codec: str = "aac",
    pictures: str = "",
    seconds: float = 1.6,
    rate_hz: int = 48_000,
    event_s: float = 0.8,
    pictures_from_s: float = 0.0,
    sound_from_s: float = 0.0,
    sound_seconds: float | None = None,
    options: dict[str, str] | None = None,
    stream_options: dict[str, str] | None = None,
) -> Path:
    """A file of soft noise with a click, and pictures with a white one, at `event_s`.

    pictures: their codec, none by default. Times are the file's; `seconds` is how long pictures
    last, and sound where `sound_seconds` does not say otherwise.
    """
    with av.open(str(path), "w", container_options=options or {}) as container:
        packets: list[Any] = []
        video = container.add_stream(pictures, rate=FPS) if pictures else None
        if video is not None:
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            video.options = stream_options or {}
        sound = container.add_stream(codec, rate=rate_hz, layout="mono") if codec else None
        container.start_encoding()
        if video is not None:
            packets += _pictures(video, seconds, pictures_from_s, event_s)
        if sound is not None:
            lasts_s = seconds if sound_seconds is None else sound_seconds
            packets += _sound(sound, lasts_s, sound_from_s, event_s)
        packets = [packet for packet in packets if packet.dts is not None]
        container.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    return path


def _pictures(stream: Any, seconds: float, from_s: float, event_s: float) -> list[Any]:
    packets, first = [], round(from_s * FPS)
    for number in range(first, first + round(seconds * FPS)):
        level = 255 if number == round(event_s * FPS) else 40 + number % 8
        picture = np.full((48, 64, 3), level, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        packets += stream.encode(frame)
    return [*packets, *stream.encode()]


def _sound(stream: Any, seconds: float, from_s: float, event_s: float) -> list[Any]:
    rate_hz, first = stream.rate, round(from_s * stream.rate)
    length = round(seconds * rate_hz)
    samples = np.random.default_rng(0).normal(0, 0.01, length).astype(np.float32)
    click = round(event_s * rate_hz) - first
    if 0 <= click < length:
        samples[click : click + round(0.002 * rate_hz)] = 0.9
    frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate_hz, first, Fraction(1, rate_hz)
    size = stream.codec_context.frame_size or 1024
    resampler = av.AudioResampler(stream.format, "mono", rate_hz, size)
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    packets = [packet for part in parts for packet in stream.encode(part)]
    return [*packets, *stream.encode()]
