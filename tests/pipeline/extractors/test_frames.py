"""Pictures come out of a video upright, in order, at their real times, or not at all."""

import importlib.util
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from pipeline.dataset.clip import Clip
from pipeline.errors import ClipError, MissingModalityError
from pipeline.extractors.frames import Frames
from pipeline.media import frames
from pipeline.media.rgb import Rgb
from pipeline.media.write_mp4 import write_mp4
from pipeline.stage.result import FAILED, MISSING, OK, ClipInputs
from tests.support.bad_media.making import larger_midway

FEAT = importlib.util.find_spec("feat")
assert FEAT is not None
assert FEAT.origin is not None
FOOTAGE = Path(FEAT.origin).parent / "tests/data"
ONE_PX = 1 << 16  # of the matrix in an mp4's track header, fixed point
MATRICES = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def shades(n: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    return [np.full((*size, 3), 20 + i * 200 // n, np.uint8) for i in range(n)]


def noise(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (n, 12, 16, 3), np.uint8)
    return list(blocks.repeat(4, axis=1).repeat(4, axis=2))


def write(
    path: Path,
    times: Sequence[float],
    sound_s: float = 0,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    size: tuple[int, int] = (48, 64),
) -> Path:
    """A video with pictures at just these times, and silence from 0 s on."""
    clock = Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=30)
        video.height, video.width = size
        video.pix_fmt, video.time_base, video.codec_context.time_base = pixels, clock, clock
        sound = container.add_stream("aac", rate=16_000, layout="mono") if sound_s else None
        for time, image in zip(times, shades(len(times), size), strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(time / clock), clock
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound:
            write_silence(container, sound, sound_s)
    return path


def write_silence(container, sound, seconds: float) -> None:
    for start in range(0, round(seconds * 16_000), 1024):
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        block.sample_rate, block.pts = 16_000, start
        container.mux(sound.encode(block))
    container.mux(sound.encode())


def write_song_with_cover(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        sound = container.add_stream("mp3", rate=16_000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(shades(1, (64, 64))[0], "rgb24")))
        container.mux(cover.encode())
        write_silence(container, sound, 1)
    return path


def rotated(path: Path, degrees: int) -> Path:
    """The same file, to be shown turned clockwise, as a telephone that was held upright does."""
    content = bytearray(path.read_bytes())
    matrix = content.find(b"tkhd") + 4 + 40
    a, b, c, d = (ONE_PX * x for x in MATRICES[degrees])
    content[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    turned = path.with_stem(f"turned{degrees}")
    turned.write_bytes(content)
    return turned


def extract(*paths: Path | None, fps: float | None = None):
    extractor = Frames(Frames.Settings(fps=fps))
    clips = [Clip(str(i), video=str(path) if path else None) for i, path in enumerate(paths)]
    return list(extractor.extract([ClipInputs(clip) for clip in clips]))


@pytest.mark.parametrize("name", ["single_face.mp4", "noface_face.mov", "no_face.mp4"])
def test_real_footage_agrees_with_opencv(name):
    capture, expected = cv2.VideoCapture(str(FOOTAGE / name)), list[tuple[float, Any]]()
    while capture.grab():
        time_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        is_wanted = len(expected) % 20 == 0
        expected.append((time_s, capture.retrieve()[1][..., ::-1] if is_wanted else None))
    decoded = list(frames(str(FOOTAGE / name)))
    times, expected_times = ([t for t, _ in pictures] for pictures in (decoded, expected))
    assert times[0] == 0  # where OpenCV 4 has the time of its packet
    np.testing.assert_allclose(times[1:], expected_times[1:], atol=1e-9)
    if cv2.__version__ < "5" and name == "noface_face.mov":
        return  # OpenCV 4 takes all pictures for BT.601, and these are BT.709
    for (_, rgb), (_, reference) in zip(decoded[::20], expected[::20], strict=True):
        assert rgb.dtype == np.uint8
        assert np.abs(rgb.astype(int) - reference).mean() < 2


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".ts"])
def test_times_are_those_of_a_variable_frame_rate(tmp_path, suffix):
    times = [0, 0.04, 0.1, 0.5, 0.52, 1.0, 1.5]
    decoded = list(frames(str(write(tmp_path / f"v{suffix}", times))))
    np.testing.assert_allclose([time for time, _ in decoded], times, atol=1e-3)
    shade = [rgb.mean() for _, rgb in decoded]
    assert shade == sorted(shade)


def test_zero_is_the_first_picture_and_where_that_lies_is_told(tmp_path):
    late = frames(str(write(tmp_path / "late.mp4", [0.5, 0.6, 0.7], sound_s=1)))
    np.testing.assert_allclose([t for t, _ in late], [0, 0.1, 0.2], atol=1e-3)
    assert late.begins_s == pytest.approx(0.5, abs=1e-3)


def test_pictures_without_times_follow_the_frame_rate(tmp_path):
    with av.open(str(tmp_path / "bare.h264"), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        for image in shades(10):
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode())
    times = [time for time, _ in frames(str(tmp_path / "bare.h264"))]
    np.testing.assert_allclose(times, np.arange(10) / 25, atol=1e-6)


@pytest.mark.parametrize("degrees", MATRICES)
def test_rotation_is_honoured(tmp_path, degrees):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32, 0] = 255  # red at the upper left
    write_mp4(tmp_path / "flat.mp4", [image] * 3)
    _, rgb = next(iter(frames(str(rotated(tmp_path / "flat.mp4", degrees)))))
    expected = np.rot90(image, -degrees // 90)
    assert rgb.shape == expected.shape
    assert np.abs(rgb.astype(int) - expected).mean() < 8


@pytest.mark.parametrize(("fps", "n"), [(30, 30), (60, 30), (15, 15), (10, 10), (12, 12), (1, 1)])
def test_fps_thins_to_at_most_that_rate(tmp_path, fps, n):
    write_mp4(tmp_path / "clip.mp4", shades(30), fps=30)
    everything = dict(frames(str(tmp_path / "clip.mp4")))
    thinned = list(frames(str(tmp_path / "clip.mp4"), fps=fps))
    assert len(thinned) == n
    assert all(np.array_equal(everything[time], rgb) for time, rgb in thinned)


def test_fps_thins_evenly_where_the_container_rounds_its_times(tmp_path):
    path = write(tmp_path / "rounded.mkv", [round(i / 30, 3) for i in range(60)])
    gaps = np.diff([time for time, _ in frames(str(path), fps=15)])
    np.testing.assert_allclose(gaps, 1 / 15, atol=2e-3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello\n" * 200, "Invalid data"),
        (bytes(range(256)) * 40, "Invalid data"),
        (b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08mdat", r"its index \(moov\) is missing"),
    ],
)
def test_what_is_no_video_is_refused_quietly(tmp_path, capfd, content, reason):
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(ClipError, match=rf"video can't be opened: {reason}.*clip\.mp4"):
        list(frames(str(tmp_path / "clip.mp4")))
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ClipError, match=r"video not found: .*gone\.mp4"):
        list(frames(str(tmp_path / "gone.mp4")))
    with pytest.raises(ClipError, match="video can't be opened: Is a directory"):
        list(frames(str(tmp_path)))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_that_was_cut_short_is_refused(tmp_path, suffix):
    whole = tmp_path / f"whole{suffix}"
    if suffix == ".mp4":
        write_mp4(whole, noise(60), fps=20)
    else:
        write(whole, [i / 20 for i in range(60)])
    assert len(list(frames(str(whole)))) == 60
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) // 2])
    with pytest.raises(ClipError, match=r"pictures stop at .* s of"):
        list(frames(str(whole)))


def test_a_file_whose_pictures_are_all_garbled_is_refused(tmp_path):
    write_mp4(tmp_path / "clip.mp4", noise(60), fps=20)
    content = bytearray((tmp_path / "clip.mp4").read_bytes())
    begin = content.find(b"mdat") + 4
    content[begin:] = np.random.default_rng(1).bytes(len(content) - begin)
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(ClipError, match=r"video can.t be decoded|pictures stop at"):
        list(frames(str(tmp_path / "clip.mp4")))


def test_a_long_last_picture_is_no_fault(tmp_path):
    path = write(tmp_path / "slide.mp4", [0, 0.1, 4.0], sound_s=6)
    assert [round(time, 3) for time, _ in frames(str(path))] == [0, 0.1, 4.0]


def test_sound_alone_and_a_cover_are_no_video(tmp_path):
    with av.open(str(tmp_path / "talk.m4a"), "w") as container:
        write_silence(container, container.add_stream("aac", rate=16_000, layout="mono"), 1)
    for path in (tmp_path / "talk.m4a", write_song_with_cover(tmp_path / "song.mp3")):
        with pytest.raises(MissingModalityError, match="no picture stream"):
            list(frames(str(path)))


@pytest.mark.parametrize("size", [(1, 1), (2, 400), (7, 5)])
def test_pictures_of_any_size_are_decoded(tmp_path, size):
    path = write(tmp_path / "tiny.mkv", [0, 0.1], codec="ffv1", pixels="bgr0", size=size)
    assert [rgb.shape for _, rgb in frames(str(path))] == [(*size, 3)] * 2


def test_a_size_that_changes_midway_changes_no_picture_s_size(tmp_path):
    larger_midway(tmp_path / "a.ts")
    found = frames(str(tmp_path / "a.ts"))
    shapes = {rgb.shape for _, rgb in found}
    assert shapes == {(180, 320, 3)}
    assert found.note == "pictures of 640×360 scaled to the first one's 320×180"


def test_frames_at_given_times_are_those_of_a_whole_pass_and_no_other_is_converted(
    tmp_path, monkeypatch
):
    larger_midway(tmp_path / "a.ts")
    every = list(frames(str(tmp_path / "a.ts")))
    wanted = every[4::9]
    assert wanted[-1][0] > every[len(every) // 2][0]
    convert, converted = Rgb.__call__, []

    def counted(rgb, frame):
        converted.append(frame)
        return convert(rgb, frame)

    monkeypatch.setattr(Rgb, "__call__", counted)
    found = list(frames(str(tmp_path / "a.ts")).at([time_s for time_s, _ in wanted]))
    assert len(converted) == len(wanted)
    for (time_s, rgb), (expected_s, expected) in zip(found, wanted, strict=True):
        assert time_s == expected_s
        np.testing.assert_array_equal(rgb, expected)


def test_a_colon_in_a_path_is_no_protocol(tmp_path, monkeypatch):
    write_mp4(tmp_path / "http:talk.mp4", shades(3))
    monkeypatch.chdir(tmp_path)
    assert len(list(frames("http:talk.mp4"))) == 3


def test_a_kept_clip_gives_the_same_frames_as_the_stream(tmp_path):
    path = write(tmp_path / "clip.mp4", [0.5 + i / 10 for i in range(9)], sound_s=2)
    extractor = Frames(Frames.Settings(fps=5))
    inputs = ClipInputs(Clip("a", video=str(path)))
    (kept,) = extractor.extract([inputs])
    for name, field in extractor.writes().items():
        field.check(name, kept.rows[name], 32)
    streamed, restored = extractor.stream(inputs)["frames"], extractor.restore(kept.rows)["frames"]
    for _ in range(2):  # a stream can be gone through again
        pairs = list(zip(streamed, restored, strict=True))
        assert len(pairs) == kept.length == 5
        assert all(a[0] == b[0] and np.array_equal(a[1], b[1]) for a, b in pairs)
        assert streamed.begins_s == restored.begins_s == pytest.approx(0.5, abs=1e-3)
        assert streamed.note == restored.note


def test_a_kept_clip_keeps_its_note_and_what_is_damaged():
    pixels, shape = np.zeros(12, np.uint8), np.array([1, 2, 2], np.int32)
    rows: dict[str, np.ndarray] = {"pixels": pixels, "shape": shape, "times": np.zeros(1)}
    rows |= {"begins_s": np.array(1.5), "damaged": np.array(0.25, np.float32)}
    rows["note"] = np.frombuffer(b"picture stream 2 of 2 taken", np.uint8)
    stream = Frames(Frames.Settings()).restore(rows)["frames"]
    assert [rgb.shape for _, rgb in stream] == [(2, 2, 3)]
    assert stream.note == "picture stream 2 of 2 taken"
    assert stream.damaged == 0.25


def test_each_clip_has_its_own_state(tmp_path):
    write_mp4(tmp_path / "clip.mp4", shades(3))
    states = extract(tmp_path / "clip.mp4", tmp_path / "gone.mp4", None)
    assert [result.state for result in states] == [OK, FAILED, MISSING]


@pytest.mark.parametrize("fps", [0, -1, float("inf"), float("nan")])
def test_an_impossible_fps_is_refused(fps):
    with pytest.raises(ValueError, match="fps"):
        Frames.Settings(fps=fps)
