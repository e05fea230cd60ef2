"""How bad and odd clips are made: from real faces and a voice, by every codec that is at hand."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import soundfile

from pipeline.media.write_mp4 import write_mp4
from pipeline.sample import footage, voice
from pipeline.sample.footage import EXCERPTS, FACE_LATE, FPS, NO_FACE, Excerpt

SECONDS = 2.0
LAUGHS = next(excerpt for excerpt in EXCERPTS if excerpt.score == 1.0)
MAN = next(excerpt for excerpt in EXCERPTS if excerpt.file == "single_face.mp4")
Make = Callable[[Path], object]  # puts one file, or what passes for one, at the path it is given
Pictures = Sequence[np.ndarray]


# --- what clips are made from -----------------------------------------------------------------


@cache
def filmed(excerpt: Excerpt = LAUGHS, seconds: float = SECONDS) -> Pictures:
    """A real face, rgb [180, 320, 3], at FPS."""
    once = excerpt in (FACE_LATE, NO_FACE)
    return list(footage.shown(excerpt, seconds, np.random.default_rng(1), once))


@cache
def spoken(seconds: float = SECONDS, rate_hz: int = voice.RATE_HZ) -> np.ndarray:
    """A voice that says the same again and again, float [n]; higher or lower at another rate."""
    said = voice.speak(SECONDS, 0.5, np.random.default_rng(2))
    return np.resize(said, round(seconds * rate_hz))


def scaled(pictures: Pictures, width: int, height: int) -> Pictures:
    return [cv2.resize(p, (width, height), interpolation=cv2.INTER_CUBIC) for p in pictures]


def good(
    pictures: Callable[[], Pictures] = filmed,
    fps: int = FPS,
    samples: np.ndarray | str | None = "spoken",
    rate_hz: int = 16_000,
) -> Make:
    """mp4 with H.264 and AAC, as most clips are. samples: None for a clip without sound."""

    def make(path: Path) -> None:
        shown = pictures()
        heard = spoken(len(shown) / fps) if isinstance(samples, str) else samples
        write_mp4(path, shown, fps, heard, rate_hz)

    return make


@contextmanager
def _schedule_kept() -> Iterator[None]:
    """libsvtav1, where root calls it, makes the thread real-time, and so all that it starts.

    Two of those that wait for a third, spinning, then wait for ever on two cores.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, priority)


def encoded(
    codec: str = "libx264",
    pixels: str = "yuv420p",
    pictures: Callable[[], Pictures] = filmed,
    sound: str | None = "aac",
    times: Sequence[float] | None = None,
    container: str | None = None,
    videos: int = 1,
    sounds: int = 1,
    rate_hz: int = 16_000,
    cover: bool = False,
    options: dict[str, str] | None = None,
) -> Make:
    """Any codec, pixel format, container and number of streams. times: of the pictures, s."""

    def make(path: Path) -> None:
        shown = pictures()
        clock = Fraction(1, 1000)
        with _schedule_kept(), av.open(str(path), "w", format=container) as file:
            tracks = [file.add_stream(codec, rate=FPS) for _ in range(videos)]
            for track in tracks:
                track.height, track.width = shown[0].shape[:2]
                track.pix_fmt, track.options = pixels, {**(options or {}), "threads": "1"}
                if times:
                    track.time_base = track.codec_context.time_base = clock
            heard = [file.add_stream(sound, rate=rate_hz) for _ in range(sounds if sound else 0)]
            for one in heard:
                one.layout = "mono"
            sleeve = _cover(file) if cover else None
            for number, image in enumerate(shown):
                for dark, track in enumerate(tracks):
                    picture = av.VideoFrame.from_ndarray(image >> 3 * dark, format="rgb24")
                    if times:
                        picture.pts, picture.time_base = round(times[number] / clock), clock
                    file.mux(track.encode(picture))
            for track in tracks:
                file.mux(track.encode())
            length_s = (times[-1] + 1 / FPS) if times else len(shown) / FPS
            for quiet, one in enumerate(heard):
                _write_sound(file, one, spoken(length_s, rate_hz) / 10**quiet, rate_hz)
            if sleeve:
                file.mux(sleeve)

    return make


def _write_sound(file: Any, stream: Any, samples: np.ndarray, rate_hz: int) -> None:
    frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), "fltp", "mono")
    frame.sample_rate, frame.pts = rate_hz, 0
    size = stream.frame_size or None
    resampler = av.AudioResampler(stream.format, stream.layout, stream.rate, size)
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        file.mux(stream.encode(part))
    file.mux(stream.encode())


def _cover(file: Any) -> list[Any]:
    stream = file.add_stream("mjpeg", rate=1)
    stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
    stream.disposition = av.stream.Disposition.attached_pic
    image = np.full((64, 64, 3), 90, np.uint8)
    return [*stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")), *stream.encode()]


def sound_alone(codec: str, container: str, cover: bool = False, layout: str = "mono") -> Make:
    def make(path: Path) -> None:
        with av.open(str(path), "w", format=container) as file:
            stream = file.add_stream(codec, rate=16_000)
            stream.layout = layout
            sleeve = _cover(file) if cover else None
            if sleeve:
                file.mux(sleeve)
            _write_sound(file, stream, spoken(), 16_000)

    return make


def wav(
    samples: Callable[[], np.ndarray] = spoken, rate_hz: int = 16_000, subtype: str = "PCM_16"
) -> Make:
    return lambda path: soundfile.write(path, samples(), rate_hz, subtype=subtype)


# --- what is done to them ---------------------------------------------------------------------


def written(content: bytes) -> Make:
    return lambda path: path.write_bytes(content)


def damaged(change: Callable[[bytearray], bytes | bytearray], make: Make | None = None) -> Make:
    """A good clip whose bytes were changed."""

    def make_and_change(path: Path) -> None:
        (make or good())(path)
        path.write_bytes(change(bytearray(path.read_bytes())))

    return make_and_change


def cut(share: float) -> Callable[[bytearray], bytearray]:
    return lambda content: content[: int(share * len(content))]


def noise(content: bytearray, begin: float = 0.5, end: float = 0.6, flips: int = 0) -> bytearray:
    """Random bytes (or so many flipped bits) in a stretch of the file's media."""
    rng = np.random.default_rng(5)
    first = content.find(b"mdat") + 4
    low, high = (first + int(share * (len(content) - first)) for share in (begin, end))
    if not flips:
        content[low:high] = rng.bytes(high - low)
    for place in rng.integers(low, high, flips):
        content[place] ^= 1 << int(rng.integers(8))
    return content


def without_index(content: bytearray) -> bytearray:
    """As a recorder that was switched off leaves it: the media, but not where it is."""
    at = content.find(b"moov") - 4
    size = struct.unpack(">I", content[at : at + 4])[0]
    return content[:at] + content[at + size :]


def garbled_index(content: bytearray) -> bytearray:
    at = content.find(b"stsz") + 16
    content[at : at + 40] = b"\xff" * 40
    return content


def slowed(content: bytearray) -> bytearray:
    """Its pictures are said to last for days."""
    at = content.find(b"stts") + 16
    content[at : at + 4] = struct.pack(">I", 1 << 30)
    return content.replace(b"edts", b"free")  # which would leave all but the first out


def turned(content: bytearray) -> bytearray:
    """To be shown turned by 90°, as a telephone that was held upright writes it."""
    matrix = content.find(b"tkhd") + 4 + 40
    one = 1 << 16
    content[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    return content


def overstated(content: bytearray) -> bytearray:
    """Its index is said to list 80 million samples of sound, of a byte each."""
    at = content.rfind(b"stsz") + 8
    content[at : at + 8] = struct.pack(">II", 1, 80_000_000)
    return content


def larger_midway(path: Path) -> None:
    """A transport stream whose pictures become larger after a second."""
    parts = []
    for width, first in ((320, 0), (640, 10)):
        part = path.with_name(f"{width}.ts")
        pictures = scaled(filmed()[first : first + 10], width, width * 9 // 16)
        times = [(first + i) / FPS for i in range(10)]
        encoded(pictures=lambda p=pictures: p, times=times, sound=None)(part)  # type: ignore[misc]
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))


def photo(path: Path) -> None:
    path.write_bytes(cv2.imencode(".jpg", filmed()[0][:, :, ::-1])[1].tobytes())


def gone(path: Path) -> None:
    """No file at all."""


def link(target: str) -> Make:
    return lambda path: path.symlink_to(target)


def unreadable(path: Path) -> None:
    good()(path)
    path.chmod(0)


def sideways() -> Pictures:
    return [np.ascontiguousarray(np.rot90(picture)) for picture in filmed()]


def two_people() -> Pictures:
    """A woman, larger, and a man beside one another."""
    left, right = filmed(), filmed(MAN)
    man = [cv2.copyMakeBorder(p, 0, 90, 40, 40, cv2.BORDER_CONSTANT) for p in right]
    woman = scaled(left, 480, 270)
    return [np.concatenate(pair, axis=1) for pair in zip(woman, man, strict=True)]


def drawing() -> Pictures:
    page = np.full((180, 320, 3), 250, np.uint8)
    cv2.circle(page, (160, 90), 60, (20, 20, 20), 2)
    cv2.circle(page, (140, 75), 6, (20, 20, 20), -1)
    cv2.circle(page, (180, 75), 6, (20, 20, 20), -1)
    cv2.ellipse(page, (160, 110), (30, 15), 0, 0, 180, (20, 20, 20), 2)
    return [page] * 20


def plain(n: int, width: int, height: int) -> Callable[[], Pictures]:
    return lambda: [np.full((height, width, 3), 40 + i % 100, np.uint8) for i in range(n)]


def with_nan() -> np.ndarray:
    samples = spoken().astype(np.float32)
    samples[1000:1100] = np.nan
    return samples


def in_channels(n: int, rate_hz: int) -> Callable[[], np.ndarray]:
    return lambda: np.stack([spoken(SECONDS, rate_hz)] * n, axis=1)


def huge(content: bytearray) -> bytearray:
    """A GIF that says it is 9,000 pixels wide and high."""
    content[6:10] = struct.pack("<HH", 9000, 9000)
    return content


def referring(content: bytearray, kind: bytes, name: bytes) -> bytearray:
    """A movie whose tracks are said to lie in another file (alis, url), or all of it (rmra)."""
    if kind == b"rmra":
        return content.replace(b"mvhd", b"rmra")
    at = 0
    while (at := content.find(b"dref", at + 1)) > 0:
        entry = at + 12  # past its own flags and count
        told = name.ljust(200, b"\0")
        made = struct.pack(">I4sI", 12 + len(told), kind, 0) + told
        old = struct.unpack_from(">I", content, entry)[0]
        content[entry : entry + old] = made
        for parent in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
            size = content.rfind(parent, 0, at + 4) - 4
            more = struct.unpack_from(">I", content, size)[0] + len(made) - old
            struct.pack_into(">I", content, size, more)
    return content


def flac(hours: float, rate_hz: int) -> Make:
    """Silence, in a few bytes a second."""

    def make(path: Path) -> None:
        with soundfile.SoundFile(path, "w", rate_hz, 1, "PCM_S8") as file:
            for _ in range(round(60 * hours)):
                file.write(np.zeros(rate_hz * 60, np.float32))

    return make
