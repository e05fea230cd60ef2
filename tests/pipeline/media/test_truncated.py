"""Whole sound passes in every container and codec; sound that was cut off is told."""

from pathlib import Path

import pytest

from pipeline import media
from pipeline.errors import ClipError
from pipeline.media.probe import probe
from pipeline.media.truncated import missing_share
from tests.support.media_files import write

PCM = ("pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_u8", "pcm_alaw")
TOLD: dict[str, tuple[str, ...]] = {  # containers that announce their length, and codecs in them
    "avi": (*PCM, "pcm_mulaw", "adpcm_ms", "adpcm_ima_wav", "mp3", "aac", "ac3", "mp2", "flac"),
    "mp4": ("aac", "mp3", "ac3", "flac", "libopus", "alac", "pcm_s16le"),
    "mov": (*PCM, "pcm_s16be", "aac", "alac", "adpcm_ima_qt"),
    "m4a": ("aac", "alac"),
    "mkv": ("aac", "mp3", "ac3", "flac", "libopus", "alac", "mp2", *PCM[:4]),
    "webm": ("libopus",),
    "flv": ("aac", "mp3", "pcm_s16le", "pcm_u8"),
    "wav": (*PCM, "adpcm_ms", "adpcm_ima_wav", "mp3"),
    "w64": ("pcm_s16le",),
    "aiff": ("pcm_s16be",),
    "au": ("pcm_s16be",),
    "caf": ("pcm_s16le", "alac"),
    "mp3": ("mp3",),
    "flac": ("flac",),
}
UNTOLD = {  # which hold nothing but one packet after the other
    "ts": ("aac", "ac3", "mp2", "mp3", "libopus"),
    "mpg": ("mp2", "ac3"),
    "asf": ("pcm_s16le",),
    "aac": ("aac",),
    "ac3": ("ac3",),
}
SECONDS = 1.6
PICTURES = {"avi": "mpeg4", "mp4": "mpeg4", "mov": "mpeg4", "mkv": "mpeg4", "webm": "libvpx"}
PICTURES |= {"flv": "flv", "asf": "mpeg4", "ts": "mpeg2video", "mpg": "mpeg2video"}


def cases(told: dict[str, tuple[str, ...]]) -> list[tuple[str, str, bool]]:
    plain = [(suffix, codec, False) for suffix, codecs in told.items() for codec in codecs]
    return [*plain, *((*case[:2], True) for case in plain if case[0] in PICTURES)]


def written(folder: Path, suffix: str, codec: str, pictures: bool) -> Path:
    rate_hz = 44_100 if suffix == "flv" else 48_000
    name = "libmp3lame" if codec == "mp3" else codec
    options = {"movflags": "faststart"} if suffix in ("mp4", "mov", "m4a") else {}
    shown = PICTURES[suffix] if pictures else ""
    path = folder / f"a.{suffix}"
    return write(path, name, shown, SECONDS, rate_hz, options=options)


def cut(path: Path, share: float = 0.5) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


@pytest.mark.parametrize(("suffix", "codec", "pictures"), cases(TOLD | UNTOLD))
def test_whole_sound_passes(tmp_path: Path, suffix: str, codec: str, pictures: bool) -> None:
    path = str(written(tmp_path, suffix, codec, pictures))
    heard = media.load_audio(path)
    assert heard.samples.shape[1] / heard.rate_hz == pytest.approx(SECONDS, abs=0.1)
    assert (heard.note, heard.doubt) == ("", "")
    assert probe(path, "video").audio
    assert missing_share(path) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(("suffix", "codec", "pictures"), cases(TOLD))
def test_sound_that_was_cut_off_is_told(
    tmp_path: Path, suffix: str, codec: str, pictures: bool
) -> None:
    path = cut(written(tmp_path, suffix, codec, pictures))
    with pytest.raises(ClipError, match=r"stops at 0\.\d+ s of 1\.|can't be decoded|damaged"):
        media.load_audio(str(path))


@pytest.mark.parametrize("suffix", ["avi", "mkv", "flv", "mp4", "mp3"])
def test_opening_a_file_tells_too_that_it_was_cut_off(tmp_path: Path, suffix: str) -> None:
    path = cut(written(tmp_path, suffix, "mp3", suffix in PICTURES))
    with pytest.raises(ClipError, match=r"video is cut off at 0\.\d+ s of 1\.\d+ s"):
        probe(str(path), "video")


@pytest.mark.parametrize("codec", ["libopus", "flac"])
def test_an_ogg_file_without_its_end_mark_is_doubtful(tmp_path: Path, codec: str) -> None:
    path = write(tmp_path / "a.ogg", codec, seconds=4)
    assert not media.load_audio(str(path)).doubt
    assert "may be cut off" in media.load_audio(str(cut(path))).doubt


def test_an_mp4_that_ends_amid_a_fragment_is_doubtful(tmp_path: Path) -> None:
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    path = write(tmp_path / "a.mp4", "aac", "mpeg4", 3, options=fragments)
    assert not media.load_audio(str(path)).doubt
    assert "may be cut off" in media.load_audio(str(cut(path))).doubt


def test_a_few_bytes_that_lack_at_the_end_are_no_loss(tmp_path: Path) -> None:
    path = cut(written(tmp_path, "avi", "pcm_s16le", True), 0.9)
    assert missing_share(str(path)) == pytest.approx(0.1, abs=0.01)
    assert media.load_audio(str(path)).samples.shape[1] > 1.3 * 48_000


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF])
def test_a_recording_whose_header_was_never_finished_announces_nothing(
    tmp_path: Path, size: int
) -> None:
    path = written(tmp_path, "avi", "pcm_s16le", True)
    content = path.read_bytes()
    path.write_bytes(content[:4] + size.to_bytes(4, "little") + content[8 : len(content) // 2])
    assert media.load_audio(str(path)).samples.size
