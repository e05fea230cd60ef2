"""A clip is one file: no other is opened for it, whatever it holds and whatever it is called."""

import os
import shutil
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline import media
from pipeline.errors import ClipError
from pipeline.media.container import opened
from pipeline.media.file import opened_file
from pipeline.media.probe import LIMIT, probe
from tests.support.bad_media.making import referring
from tests.support.media_files import write

OTHER = "other.ts"
TEXTS = {  # what FFmpeg, or other players, would play the other file for
    "playlist.m3u8": (
        "M3U, HLS", f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{OTHER}\n#EXT-X-ENDLIST\n",
    ),
    "no suffix that tells.mp4": ("ffconcat", f"ffconcat version 1.0\nfile {OTHER}\n"),
    "list.ffconcat": ("ffconcat", f"\ufeff ffconcat version 1.0\nfile '{OTHER}'\n"),
    "manifest.mpd": (
        "DASH", f'<?xml version="1.0"?>\n<!-- <a> -->\n<MPD><BaseURL>{OTHER}</BaseURL></MPD>',
    ),
    "session.sdp": ("SDP", "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n"),
    "list.pls": ("PLS", f"[playlist]\nFile1={OTHER}\n"),
    "list.asx": ("ASX", f'<asx version="3.0"><entry><ref href="{OTHER}"/></entry></asx>'),
    "list.wvx": ("ASX", f"[Reference]\nRef1=http://127.0.0.1:9/{OTHER}\n"),
    "list.ram": ("a list of URLs", "rtsp://127.0.0.1:9/a.rm\n"),
    "subtitles.idx": ("VobSub", "# VobSub index file, v7 (do not modify this line!)\n"),
    "disc.cue": ("a cue sheet", f'FILE "{OTHER}" WAVE\n  TRACK 01 AUDIO\n'),
    "package.xml": ("IMF", '<cpl:CompositionPlaylist xmlns:cpl="x"></cpl:CompositionPlaylist>'),
    "list.xspf": ("XSPF", f"<playlist><track><location>{OTHER}</location></track></playlist>"),
    "show.smil": ("SMIL", f'<smil><body><video src="{OTHER}"/></body></smil>'),
    "sound.wav": ("M3U, HLS", f"#EXTM3U\n{OTHER}\n"),
}  # fmt: skip
READERS: tuple[Callable[[str], Any], ...] = (
    lambda path: list(media.frames(path)),
    media.load_audio,
    media.video_span,
    lambda path: probe(path, "video"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With another clip in it, where relative paths begin."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / OTHER, "mp2", "mpeg2video")
    return tmp_path


@pytest.mark.parametrize("name", TEXTS)
def test_what_plays_other_files_is_refused_by_its_kind(folder: Path, name: str) -> None:
    kind, text = TEXTS[name]
    path = folder / name
    path.write_text(text)
    for read in READERS:
        with pytest.raises(ClipError) as caught:
            read(str(path))
        said = f" is a playlist ({kind}), which plays other files; give those: {path}"
        assert str(caught.value) in (f"video{said}", f"sound{said}")


@pytest.mark.parametrize("kind", ["alis", "url ", "rmra"])
def test_a_movie_whose_media_lie_in_another_file_is_refused(folder: Path, kind: str) -> None:
    whole = write(folder / "whole.mov", "pcm_s16le", "mpeg4").read_bytes()
    path = folder / "movie.mov"
    path.write_bytes(whole)
    assert probe(str(path), "video").video
    path.write_bytes(referring(bytearray(whole), kind.encode(), b"whole.mov"))
    for read in READERS:
        with pytest.raises(ClipError, match=r"is a playlist \(QuickTime references\), which plays"):
            read(str(path))


def test_ffmpeg_itself_opens_no_other_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.media.file.plays_others", lambda file: "")
    for name, (_, text) in TEXTS.items():
        (folder / name).write_text(text)
        with pytest.raises(ClipError, match="can't be opened"):
            opened(name, "video", LIMIT).__enter__()


@pytest.mark.parametrize(
    "name",
    [
        "-i", "-i.mp4", "%03d.mp4", "00*.mp4", "http:x.mp4", "concat:a.mp4|b.mp4", "pipe:0", "fd:0",
        "file:a.mp4", "data:video,x", "subfile,,start,0,end,9,,:a.mp4", "crypto:a.mp4", "a#b?c.mp4",
        "cache:x", "tee:x", "async:x", "\\a.mp4", "a\nb.mp4", ".mp4", "x.m3u8", "x.txt", "x.sdp",
    ],
)  # fmt: skip
def test_no_name_is_anything_but_a_name(folder: Path, name: str) -> None:
    write(folder / "clip.mp4", "aac", "mpeg4")
    (folder / "clip.mp4").rename(folder / name)
    assert len(list(media.frames(name))) == 40
    assert media.load_audio(name).samples.any()


@pytest.mark.parametrize("name", ["-.wav", "pipe:0.wav", "%03d.flac", "a|b.flac"])
def test_no_name_of_sound_is_anything_but_a_name(folder: Path, name: str) -> None:
    write(folder / f"a{name[-5:].strip('d')}", {"v": "pcm_s16le", "c": "flac"}[name[-1]]).rename(
        name
    )
    assert media.load_audio(name).samples.any()


def test_a_picture_is_no_sequence_of_pictures(folder: Path) -> None:
    for number, name in enumerate(["%03d.png", "000.png", "001.png", "002.png", "0*.jpg", "0.jpg"]):
        picture = cv2.imencode(name[-4:], np.full((48, 64, 3), 40 * number, np.uint8))[1]
        (folder / name).write_bytes(picture.tobytes())
    for name, level in (("%03d.png", 0), ("0*.jpg", 160)):
        ((_, rgb),) = media.frames(name)
        assert abs(int(rgb.max()) - level) < 4


def test_a_url_is_not_opened(folder: Path) -> None:
    with pytest.raises(ClipError, match="not found; download it, a URL is not opened: http://"):
        list(media.frames("http://127.0.0.1:9/clip.mp4"))


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="as Linux has it")
@pytest.mark.parametrize(
    "target", ["/proc/self/status", "/proc/kcore", "/sys/kernel/uevent_seqnum"]
)
def test_no_file_that_the_kernel_makes_up_is_opened(folder: Path, target: str) -> None:
    if not os.path.exists(target):
        pytest.skip("not on this machine")
    (folder / "clip.wav").symlink_to(target)
    for read in READERS:
        with pytest.raises(ClipError, match="can't be opened: Is a file of the kernel"):
            read("clip.wav")


def test_a_socket_is_not_opened(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("clip.wav")
        for read in READERS:
            with pytest.raises(ClipError, match="can't be opened: Is a socket"):
                read("clip.wav")


def test_what_becomes_a_pipe_after_it_was_looked_at_is_not_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (looked_at,) = (os.stat(OTHER),)
    os.mkfifo("clip.mp4")
    monkeypatch.setattr("pipeline.media.file.os.stat", lambda path: looked_at)
    with pytest.raises(ClipError, match="was replaced meanwhile"), opened_file("clip.mp4", "video"):
        pass


def test_a_file_is_closed_once_it_was_read(folder: Path) -> None:
    (folder / "list.m3u8").write_text("#EXTM3U\n")
    shutil.copy(write(folder / "a.flac", "flac"), "b.flac")
    before = len(os.listdir("/proc/self/fd"))
    for path in (OTHER, "list.m3u8", "a.flac", "b.flac"):
        for read in READERS:
            with suppress(ClipError):
                read(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_movie_of_endless_boxes_is_looked_at_for_a_moment(folder: Path) -> None:
    nested = b"".join(struct.pack(">I4s", 8 * n, b"moov") for n in range(100_000, 0, -1))
    (folder / "clip.mov").write_bytes(nested)
    with opened_file("clip.mov", "video") as file:
        assert file.read(8)[4:] == b"moov"
