"""Which codecs can be decoded here: tiny clips are written in each and read back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

from pipeline import media
from pipeline.errors import ClipError

SIDE_PX, FPS, FRAMES = 64, 10, 4
RATE_HZ = 48_000  # which every codec of sound knows
BRIGHTNESS, LOUDNESS = 160, 0.25
VIDEO_ENCODERS = {
    "h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "mpeg4": "mpeg4", "mjpeg": "mjpeg",
}  # fmt: skip
AUDIO_ENCODERS = {
    "aac": "aac", "opus": "libopus", "mp3": "libmp3lame", "flac": "flac", "pcm_s16le": "pcm_s16le",
}  # fmt: skip
READ_ONLY = ("vp8", "av1", "vorbis")  # slow to write, or not writable at all
OPTIONS = {"libx265": {"x265-params": "log-level=none"}}  # which else tells of every file


@dataclass(frozen=True)
class Codec:
    """A codec of video or audio. tried: on a real clip. error: why it can't be decoded."""

    name: str
    tried: bool
    error: str = ""


def codecs() -> Iterator[Codec]:
    """The codecs that clips come in; each is tried that this machine can write, too."""
    with TemporaryDirectory(prefix="smp-codecs-") as folder:
        for name, encoder in {**VIDEO_ENCODERS, **AUDIO_ENCODERS}.items():
            if encoder in av.codecs_available:
                yield Codec(name, True, _error(name, encoder, Path(folder, f"{name}.mkv")))
            else:
                yield _untried(name)
        yield from map(_untried, READ_ONLY)


def _untried(name: str) -> Codec:
    return Codec(name, False, "" if name in av.codecs_available else "no decoder")


def _error(name: str, encoder: str, path: Path) -> str:
    """What is wrong with a clip once it was written and read, "" where nothing is."""
    try:
        if name in VIDEO_ENCODERS:
            _film(path, encoder)
            seen = [rgb.mean() for _, rgb in media.frames(str(path))]
            is_right = len(seen) == FRAMES and np.allclose(seen, BRIGHTNESS, atol=8)
        else:
            _record(path, encoder)
            heard = media.load_audio(str(path)).samples
            middle = heard[:, heard.shape[1] // 4 : -heard.shape[1] // 4]  # past any onset
            is_right = bool(np.isclose(middle.std() * 2**0.5, LOUDNESS, rtol=0.2))
    except (ClipError, av.error.FFmpegError) as error:
        return str(error).removesuffix(f": {path}")
    return "" if is_right else "what is decoded is not what was written"


def _film(path: Path, encoder: str) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=FPS, options=OPTIONS.get(encoder, {}))
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
        picture = np.full((SIDE_PX, SIDE_PX, 3), BRIGHTNESS, np.uint8)
        for _ in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def _record(path: Path, encoder: str) -> None:
    tone = LOUDNESS * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ // 4) / RATE_HZ)
    frame = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), "fltp", "mono")
    frame.sample_rate, frame.pts = RATE_HZ, 0
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=RATE_HZ, layout="mono")
        size = stream.codec_context.frame_size or None
        resampler = av.AudioResampler(stream.format, stream.layout, stream.rate, size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode())
