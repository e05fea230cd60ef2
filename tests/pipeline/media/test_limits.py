"""Clips that would fill memory or take hours fail at once, and say which setting would let them."""

import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EIO
from fractions import Fraction
from io import FileIO
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from pipeline import media
from pipeline.checks.clip import check_clip
from pipeline.dataset.clip import Clip
from pipeline.errors import ClipError
from pipeline.extractors.audio import Audio
from pipeline.extractors.frames import Frames
from pipeline.stage.result import ClipInputs
from tests.support.bad_media.making import encoded, flac, larger_midway, overstated, plain
from tests.support.media_files import write

MUCH_MB = 400


@contextmanager
def refused(*words: str) -> Iterator[None]:
    """With all of the words, and for little memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ClipError) as caught:
        yield
    assert [word for word in words if word not in str(caught.value)] == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MUCH_MB * 1000


def test_sound_that_would_be_resampled_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    flac(40, 1_000)(path)
    assert path.stat().st_size < 2_000_000
    with refused("longer than the limit of 7200 s", "`sound_limit_s` of audio", str(path)):
        media.load_audio(str(path))
    flac(0.1, 1_000)(path)
    assert media.load_audio(str(path)).samples.shape == (1, 360_000)


def test_sound_in_many_channels_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "wide.wav"
    soundfile.write(path, np.zeros((1000, 192), np.int16), 48_000)
    limits = media.SoundLimits(gb=5e-4)
    with refused("192 channels at 48000 Hz", "limit of 0.0005 GB", "`sound_limit_gb` of audio"):
        media.load_audio(str(path), limits=limits)
    assert media.load_audio(str(path)).samples.shape == (192, 1000)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mp3", "a.aac", "a.wav", "a.ogg"])
def test_sound_is_held_up_to_the_limit_and_no_further(tmp_path: Path, name: str) -> None:
    codec = {"mp3": "libmp3lame", "wav": "pcm_s16le", "ogg": "libopus"}.get(name[2:], "aac")
    path = str(write(tmp_path / name, codec))
    with refused("longer than the limit of 1 s", "`sound_limit_s` of audio"):
        media.load_audio(path, limits=media.SoundLimits(seconds=1))
    assert media.load_audio(path, limits=media.SoundLimits(seconds=2)).samples.any()


@pytest.mark.parametrize("rate_hz", [1, 999, 768_001, (1 << 31) - 1])
def test_an_impossible_rate_is_refused_before_anything_is_decoded(
    tmp_path: Path, rate_hz: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(1000, np.int16), 48_000)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 24, rate_hz)
    path.write_bytes(content)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("decoded"))
    with refused(f"can't be sampled at {rate_hz} Hz"):
        media.load_audio(str(path))


def test_a_gap_of_years_is_not_filled(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    year = 365 * 24 * 3600
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for begin_s in (0, 1, year):
            frame = av.AudioFrame.from_ndarray(np.ones((1, 16_000), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, begin_s, Fraction(1)
            frame.pts, frame.time_base = begin_s * 16_000, Fraction(1, 16_000)
            file.mux(stream.encode(frame))
    with refused("longer than the limit of 7200 s"):
        media.load_audio(str(path))


def test_large_pictures_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    encoded("libx264", pictures=plain(2, 320, 180), sound=None)(path)
    limits = media.PixelLimits(picture_mpx=0.05)
    with refused("320×180 are larger than the limit of 0.05 mega", "`picture_limit_mpx` of frames"):
        list(media.frames(str(path), limits=limits))


def test_pictures_that_become_too_large_midway_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    larger_midway(path)
    with refused("pictures of 640×360 are larger than the limit of 0.2 megapixels"):
        list(media.frames(str(path), limits=media.PixelLimits(picture_mpx=0.2)))
    assert len(list(media.frames(str(path)))) == 20


def test_pictures_that_are_stretched_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(7)
        file.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        file.mux(stream.encode())
    assert next(iter(media.frames(str(path))))[1].shape == (48, 448, 3)
    with refused("pictures of 448×48 are larger than"):
        list(media.frames(str(path), limits=media.PixelLimits(picture_mpx=0.02)))


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "mpeg4"), ("a.avi", "mpeg4"), ("a.ts", "mpeg2video")]
)
def test_many_pictures_are_refused_at_once_where_an_index_lists_them(
    tmp_path: Path, name: str, codec: str
) -> None:
    path = str(write(tmp_path / name, "", codec))
    all_gpx = 40.5 * 64 * 48 / 1e9
    taken = 0
    with refused("more than the limit of", "gigapixels in all", "`clip_limit_gpx` of frames"):
        for _ in media.frames(path, limits=media.PixelLimits(clip_gpx=all_gpx / 2)):
            taken += 1
    assert taken == (0 if name != "a.ts" else 20)
    assert len(list(media.frames(path, limits=media.PixelLimits(clip_gpx=all_gpx)))) == 40


@pytest.mark.parametrize("codecs", [("aac", "mpeg4"), ("", "mpeg4")])
def test_an_index_of_more_than_the_file_holds_is_refused(
    tmp_path: Path, codecs: tuple[str, str]
) -> None:
    """FFmpeg would take 3 GB for these 80 million."""
    path = write(tmp_path / "a.mp4", *codecs)
    path.write_bytes(overstated(bytearray(path.read_bytes())))
    for read in (lambda p: list(media.frames(p)), media.load_audio, media.video_span):
        with refused("its index lists 80000000 samples, more than the file holds"):
            read(str(path))


def test_limits_change_no_fingerprint_and_are_told_by_the_stage(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", "aac", "mpeg4")
    inputs = ClipInputs(Clip("a", video=str(path)))
    limits = {
        Audio: {"sound_limit_s": 0.5, "sound_limit_gb": 1e-6},
        Frames: {"picture_limit_mpx": 0.001, "clip_limit_gpx": 1e-6},
    }
    for kind, settings in limits.items():
        for name, least in settings.items():
            (result,) = kind(kind.Settings(**{name: least})).extract([inputs])
            assert result.state == "failed"
            assert f"`{name}` of " in result.reason
            assert name not in kind.Settings().affecting_results()


def test_a_check_of_the_dataset_tells_the_same(tmp_path: Path) -> None:
    flac(3, 1_000)(tmp_path / "long.flac")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile long.flac\n")
    clip = Clip("a", video=str(tmp_path / "list.mp4"), audio=str(tmp_path / "long.flac"), text="hm")
    issues = check_clip(clip, decode=True, has_media=True).issues
    assert [(issue.kind, issue.fails) for issue in issues] == [("unreadable", True)] * 2
    assert "is a playlist (ffconcat)" in issues[0].what
    assert "`sound_limit_s` of audio" in issues[1].what


def test_a_disk_that_fails_midway_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.ts", "mp2", "mpeg2video", seconds=120.0)

    class Failing(FileIO):
        there = 300_000

        def read(self, size: int | None = -1) -> bytes:
            content = super().read(size)
            self.there -= len(content)
            if self.there < 0:
                raise OSError(EIO, "Input/output error")
            return content

    monkeypatch.setattr("pipeline.media.file.FileIO", Failing)
    with pytest.raises(ClipError, match=f"Input/output error: {path}"):
        list(media.frames(str(path)))
