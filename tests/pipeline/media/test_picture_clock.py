"""Zero is the first picture that a player shows, whatever starts, edits and delays say."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import media
from pipeline.dataset.span import Span
from pipeline.media import frames

FPS, PICTURES = 10, 12


def write(
    path: Path, begin_s: float = 0.0, bframes: int = 2, keyint: int = 250, skip: int = 0, **options
) -> Path:
    """Brighter pictures from `begin_s` on, beside sound from 0 s on. skip: packets left out."""
    codec = options.pop("codec", "libx264")
    x264 = f"bframes={bframes}:keyint={keyint}:min-keyint=1:scenecut=0:threads=1"
    settings = {"x264-params": x264} if codec == "libx264" else {"bf": str(bframes)}
    clock = Fraction(1, 1000)
    with av.open(str(path), "w", options=options) as container:
        video = container.add_stream(codec, rate=FPS, options=settings)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        video.codec_context.gop_size = keyint
        if codec == "libx264":
            video.codec_context.time_base = clock
        sound = container.add_stream("mp2", rate=16_000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), "s16", "mono")
        block.sample_rate = 16_000
        for number in range(28):
            block.pts = number * 1152
            container.mux(sound.encode(block))
        packets = []
        for number in range(PICTURES):
            image = np.full((48, 64, 3), 20 + 18 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if codec == "libx264":
                frame.pts, frame.time_base = round((begin_s + number / FPS) / clock), clock
            packets += video.encode(frame)
        for packet in [*packets, *video.encode()][skip:]:
            container.mux(packet)
        container.mux(sound.encode())
    return path


def number_of(rgb: np.ndarray) -> int:
    """Which of the pictures it is, by its brightness."""
    return round((float(rgb.mean()) - 20) / 18)


def trimmed(path: Path, begin_s: float) -> Path:
    """The same mp4, with an edit list that starts its pictures `begin_s` later."""
    content = bytearray(path.read_bytes())
    track = content.find(b"vmhd")
    edits = content.rfind(b"elst", 0, track)
    media_header = content.rfind(b"mdhd", 0, track)
    (scale,) = struct.unpack_from(">I", content, media_header + 4 + 12)
    count, _, media_time = struct.unpack_from(">IIi", content, edits + 8)
    assert count == 1
    struct.pack_into(">i", content, edits + 16, media_time + round(begin_s * scale))
    cut = path.with_stem("trimmed")
    cut.write_bytes(content)
    return cut


def checked(path: Path, first: int, begins_s: float, count: int) -> None:
    clip = frames(str(path))
    pictures = list(clip)
    times = [time for time, _ in pictures]
    assert times[0] == 0
    np.testing.assert_allclose(times, np.arange(count) / FPS, atol=2e-3)
    assert [number_of(rgb) for _, rgb in pictures] == list(range(first, first + count))
    assert clip.begins_s == pytest.approx(begins_s, abs=2e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("begin_s", [0.0, 0.84])
def test_delayed_pictures_begin_at_zero(tmp_path, suffix, bframes, begin_s):
    path = write(tmp_path / f"clip{suffix}", begin_s, bframes)
    checked(path, 0, begin_s, PICTURES)
    span = media.video_span(str(path))
    assert span is not None
    assert span[0] == pytest.approx(begin_s, abs=2e-3)


@pytest.mark.parametrize("bframes", [0, 2])
def test_a_transport_stream_keeps_its_own_clock_apart(tmp_path, bframes):
    path = write(tmp_path / "clip.ts", 1.53, bframes, output_ts_offset="4000")
    heard = media.load_audio(str(path))
    clip = frames(str(path))
    times = [time for time, _ in clip]
    np.testing.assert_allclose(times, np.arange(PICTURES) / FPS, atol=1e-3)
    assert clip.begins_s > 1000
    assert clip.begins_s - heard.start_s == pytest.approx(1.53, abs=0.04)  # mp2 is 0.03 s early


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("keyint", [250, 1])
def test_a_trimmed_mp4_begins_with_the_first_picture_shown(tmp_path, bframes, keyint):
    path = trimmed(write(tmp_path / "clip.mp4", 0.0, bframes, keyint), 0.5)
    checked(path, 5, 0.0, PICTURES - 5)


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("keyint", [250, 4])
def test_a_span_of_a_trimmed_mp4_counts_from_the_first_picture_shown(tmp_path, bframes, keyint):
    path = trimmed(write(tmp_path / "clip.mp4", 0.0, bframes, keyint), 0.2)
    clip = frames(str(path), span=Span(0.4, 0.7))
    assert [number_of(rgb) for _, rgb in clip] == [6, 7, 8]
    assert clip.begins_s == pytest.approx(0.4, abs=2e-3)
    shown = media.video_span(str(path), span=Span(0.4, 0.7))
    assert shown == pytest.approx((0.4, 0.7, 0.0), abs=2e-3)


@pytest.mark.parametrize("bframes", [0, 2])
def test_avi_without_times_of_showing(tmp_path, bframes):
    clip = frames(str(write(tmp_path / "clip.avi", 0.0, bframes, codec="mpeg4")))
    pictures = list(clip)
    np.testing.assert_allclose([t for t, _ in pictures], np.arange(PICTURES) / FPS, atol=1e-3)
    assert [number_of(rgb) for _, rgb in pictures] == list(range(PICTURES))
    assert clip.begins_s == pytest.approx(0, abs=0.11)


def test_a_stream_that_is_cut_into_begins_with_what_can_be_shown(tmp_path):
    path = write(tmp_path / "clip.ts", 0.0, 0, keyint=5, skip=2)
    clip = frames(str(path))
    pictures = list(clip)
    assert [number_of(rgb) for _, rgb in pictures] == list(range(5, PICTURES))
    np.testing.assert_allclose([t for t, _ in pictures], np.arange(PICTURES - 5) / FPS, atol=1e-3)


def test_each_pass_tells_anew(tmp_path):
    clip = frames(str(write(tmp_path / "clip.mp4", 0.84)))
    first = list(clip)
    begins_s, note = clip.begins_s, clip.note
    for (time_s, rgb), (again_s, again) in zip(first, clip, strict=True):
        assert time_s == again_s
        np.testing.assert_array_equal(rgb, again)
    assert (clip.begins_s, clip.note) == (begins_s, note)
