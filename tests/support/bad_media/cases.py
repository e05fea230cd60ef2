"""What a user is promised for every bad or odd clip, and for every bad dataset: two tables.

An outcome is a state with its number or reason: `ok 20` faces, `ok 2.00 s` of sound, `ok 6` tokens;
`…` stands for anything, as what each version of an encoder leaves behind where damage hits. What a
case does not say is as in a good clip.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.sample.footage import FACE_LATE, NO_FACE
from tests.support.bad_media.making import (
    MAN,
    Make,
    cut,
    damaged,
    drawing,
    encoded,
    filmed,
    flac,
    garbled_index,
    gone,
    good,
    huge,
    in_channels,
    larger_midway,
    link,
    noise,
    overstated,
    photo,
    plain,
    referring,
    scaled,
    sideways,
    slowed,
    sound_alone,
    spoken,
    turned,
    two_people,
    unreadable,
    wav,
    with_nan,
    without_index,
    written,
)

TEXT = "it was really good"  # six tokens, [CLS] and [SEP] with them
UNEVEN_S = [0, 0.04, 0.1, 0.14, 0.2, 0.5, 0.52, 0.6, 0.9, 1.0, 1.2, 1.5]
VP9 = {"cpu-used": "8", "deadline": "realtime"}
B_FRAMES = {"x264-params": "bframes=2:b-adapt=0:scenecut=0"}  # else each version has its own
HEVC = {"x265-params": "log-level=0:pools=1"}
NOT_NAMED = "missing: the dataset names no video for this clip"


@dataclass(frozen=True)
class Case:
    """A clip and what becomes of it.

    name: its id. video, sound: what makes its files. faces, audio, bert: the outcomes. can_be_made:
    whether this machine can make the case.
    """

    name: str
    video: Make | None = field(default_factory=good)
    sound: Make | None = None
    file: str = "clip.mp4"
    sound_file: str = "sound.wav"
    text: str = TEXT
    label: Any = 0.5
    faces: str = "ok 20"
    audio: str = "ok 2.00 s"
    bert: str = "ok 6"
    can_be_made: Callable[[], bool] = field(default=lambda: True)

    def row(self, folder: Path) -> dict[str, Any]:
        """Make the case's files in `folder`; its line of the manifest beside that folder."""
        folder.mkdir()
        row = {"id": self.name, "text": self.text, "label": self.label, "split": "train"}
        if self.video:
            self.video(folder / self.file)
            row["video"] = f"{folder.name}/{self.file}"
        if self.sound:
            self.sound(folder / self.sound_file)
            row["audio"] = f"{folder.name}/{self.sound_file}"
        return row


@dataclass(frozen=True)
class BadClips:
    """The files of all cases that this machine can make. rows: of a manifest in `folder`, by id."""

    folder: Path
    rows: dict[str, dict[str, Any]]


def unopened(name: str, video: Make, reason: str, **settings: Any) -> Case:
    """A case whose file can't be opened at all, for the same reason in both stages."""
    why = f"can't be opened: {reason}"
    return Case(name, video, faces=f"failed: video {why}", audio=f"failed: sound {why}", **settings)


def playing(name: str, video: Make, kind: str) -> Case:
    """A case of a file that plays others."""
    why = f"is a playlist ({kind}), which plays other files; give those"
    return Case(name, video, faces=f"failed: video {why}", audio=f"failed: sound {why}")


def spoken_of(name: str, text: str, bert: str) -> Case:
    """A case of a text alone."""
    return Case(name, None, text=text, faces=NOT_NAMED, audio="missing: no media", bert=bert)


def heard(name: str, sound: Make, audio: str = "ok 2.00 s", **settings: Any) -> Case:
    """A case of an audio file alone."""
    return Case(name, None, sound, faces=NOT_NAMED, audio=audio, **settings)


def named(name: str, file: str) -> Case:
    """A case of a small clip by that name."""
    video, faces = good(plain(3, 64, 48)), "missing: no face in 3 frames"
    return Case(name, video, file=file, faces=faces, audio="ok 0.30 s")


NEIGHBOURS = [
    Case("good"),
    Case("good, no face", good(lambda: filmed(NO_FACE)), faces="missing: no face in 20 frames"),
    Case("good, another face", good(lambda: filmed(MAN, 1.5)), faces="ok 15", audio="ok 1.50 s"),
    Case("good, long text", text=" ".join([TEXT] * 4), bert="ok 18"),
]

# fmt: off
CASES = [
    # files that are no video
    unopened("zero bytes", written(b""), "the file is empty"),
    unopened("text renamed to .mp4", written(b"hello\n" * 200), "Invalid data …"),
    unopened("random bytes", written(np.random.default_rng(0).bytes(50_000)), "Invalid data …"),
    playing("a playlist", written(b"#EXTM3U\n#EXTINF:9,\n/dev/zero\n"), "M3U, HLS"),
    playing("a list of clips", written(b"ffconcat version 1.0\nfile clip.mp4\n"), "ffconcat"),
    playing("a movie in another file", damaged(lambda c: referring(c, b"url ", b"file://b.mov")),
            "QuickTime references"),
    Case("a photo renamed to .mp4", photo, faces="ok 1", audio="missing: no sound stream"),
    # damage
    Case("cut off at 10 %", damaged(cut(0.1)),
         faces="failed: video can't be decoded: Invalid data …",
         audio="failed: sound stops at 0.00 s of 1.98 s"),
    Case("cut off at 50 %", damaged(cut(0.5)),
         faces="failed: pictures stop at … s of 1.90 s",
         audio="failed: sound stops at … s of 1.98 s"),
    Case("cut off at 99 %", damaged(cut(0.99)), audio="ok 1.98 s, 0.06 s … are damaged and silent"),
    Case("cut off at 50 %, Matroska", damaged(cut(0.5), encoded(container="matroska")),
         faces="failed: pictures stop at … s of 2.00 s",
         audio="failed: sound stops at … s of 2.06 s"),
    Case("cut off at 99 %, Matroska", damaged(cut(0.99), encoded(container="matroska"))),
    Case("15 bits flipped in the middle", damaged(lambda c: noise(c, 0.4, 0.6, flips=15)),
         faces="ok 20, 1… of 20 pictures are damaged",
         audio="ok 2.00 s, … s of the sound are damaged and silent"),
    Case("noise in the middle tenth", damaged(lambda c: noise(c, 0.45, 0.55)),
         faces="ok …, 1… of 20 pictures are damaged",
         audio="ok 2.00 s, 0.19 s of the sound are damaged and silent"),
    Case("noise in the middle half", damaged(lambda c: noise(c, 0.25, 0.75)),
         faces="failed: 1… of 20 pictures are damaged",
         audio="failed: 1.… s of the sound are damaged, of 2.05 s"),
    Case("noise all over", damaged(lambda c: noise(c, 0.0, 1.0)),
         faces="failed: video can't be decoded: Invalid data …",
         audio="failed: no packet of the sound can be decoded"),
    unopened("moov missing", damaged(without_index), "its index (moov) is missing, …"),
    Case("moov garbled", damaged(garbled_index),
         faces="failed: no picture of the video can be decoded", audio="ok 2.05 s"),
    unopened("an index of 80 million", damaged(overstated), "its index lists 80000000 samples, …"),
    Case("impossible times", damaged(slowed),
         audio="ok 2.11 s, not trimmed to the picture: pictures span … hours"),
    # modalities
    Case("video without sound", good(samples=None), audio="missing: no sound stream"),
    Case("sound without video", sound_alone("aac", "mp4"),
         faces="missing: no picture stream", audio="ok 2.05 s"),
    Case("sound with a cover", sound_alone("libmp3lame", "mp3", cover=True),
         faces="missing: no picture stream"),
    Case("video with a cover", encoded(cover=True)),
    Case("video and separate sound", good(samples=None), wav()),
    Case("two videos", encoded(videos=2),
         faces="ok 20, picture stream 1 of 2 taken (320×180), not 2 (320×180)"),
    Case("three sounds", encoded(sounds=3),
         audio="ok 2.00 s, sound stream 1 of 3 taken (1 channel), not 2 (1 channel), 3 (…)"),
    # times
    Case("one frame", good(lambda: filmed()[:1]), faces="ok 1", audio="ok 0.13 s"),
    Case("0.1 s", good(lambda: filmed()[:3], fps=30), faces="ok 3", audio="ok 0.10 s"),
    Case("ten minutes", good(plain(600, 64, 48), fps=1),
         faces="missing: no face in 600 frames", audio="ok 600.00 s"),
    Case("variable frame rate", encoded(pictures=lambda: filmed()[:12], times=UNEVEN_S,
                                        options=B_FRAMES),
         faces="ok 12", audio="ok 1.60 s"),
    # pictures
    Case("turned by 90°", damaged(turned, good(sideways))),
    Case("1×1", encoded("ffv1", "bgr0", plain(20, 1, 1), container="matroska"),
         faces="missing: no face in 20 frames"),
    Case("2×4000", encoded("ffv1", "bgr0", plain(20, 2, 4000), container="matroska"),
         faces="missing: no face in 20 frames"),
    Case("4K", good(lambda: scaled(filmed()[:2], 3840, 2160)), faces="ok 2", audio="ok 0.20 s"),
    Case("81 megapixels", damaged(huge, encoded("gif", "rgb8", container="gif", sound=None)),
         faces="failed: pictures of 9000×9000 are larger than …`picture_limit_mpx` …",
         audio="missing: no sound stream"),
    Case("10 bit", encoded("libx264", "yuv420p10le")),
    Case("10 bit, HEVC", encoded("libx265", "yuv420p10le", options=HEVC)),
    Case("grey", encoded("libx264", "gray")),
    Case("grey, 16 bit", encoded("ffv1", "gray16le", container="matroska")),
    Case("alpha", encoded("png", "rgba", container="mov")),
    Case("alpha, VP9", encoded("libvpx-vp9", "yuva420p", container="webm", sound="libopus",
                               rate_hz=48_000, options=VP9)),
    Case("MPEG-4 part 2, AVI", encoded("mpeg4", sound="libmp3lame", container="avi"),
         audio="ok 2.09 s"),  # the file leaves one tick out
    Case("MJPEG, AVI", encoded("mjpeg", "yuvj420p", container="avi", sound="pcm_s16le")),
    Case("HEVC", encoded("libx265", options=HEVC)),
    Case("VP9, WebM", encoded("libvpx-vp9", container="webm", sound="libopus", rate_hz=48_000,
                              options=VP9)),
    Case("AV1", encoded("libsvtav1", options={"preset": "12"}),
         can_be_made=lambda: "libsvtav1" in av.codecs_available),
    Case("Matroska", encoded(container="matroska")),
    Case("GIF", encoded("gif", "rgb8", container="gif", sound=None),
         audio="missing: no sound stream"),
    Case("larger midway", larger_midway,
         faces="ok 20, pictures of 640×360 scaled to the first one's 320×180",
         audio="missing: no sound stream"),
    # sound
    heard("mono 8 kHz", wav(lambda: spoken(2.0, 8_000), 8_000)),
    heard("stereo 44.1 kHz", wav(in_channels(2, 44_100), 44_100)),
    Case("5.1, 48 kHz", good(samples=in_channels(6, 48_000)().T, rate_hz=48_000)),
    heard("7.1", sound_alone("aac", "mp4", layout="7.1"), "ok 2.05 s", sound_file="sound.m4a"),
    heard("24 bit", wav(subtype="PCM_24")),
    heard("FLAC", wav(), sound_file="sound.flac"),
    heard("NaN samples", wav(with_nan, subtype="FLOAT"),
          "failed: 100 of 32000 samples are not finite"),
    Case("digital silence", good(samples=np.zeros(32_000)), audio="ok 2.00 s, digital silence"),
    Case("clipping", good(samples=np.clip(20 * spoken(), -1, 1))),
    heard("text renamed to .wav", written(b"hello\n" * 200),
          "failed: sound can't be opened: Invalid data …"),
    heard("zero bytes of sound", written(b""), "failed: sound can't be opened: the file is empty"),
    heard("a .wav without samples", wav(lambda: np.zeros(0)), "failed: sound is empty"),
    heard("a .wav cut off at 50 %", damaged(cut(0.5), wav()),
          "failed: sound stops at 1.00 s of 2.00 s"),
    heard("a .wav at 4 GHz", damaged(lambda c: c[:24] + b"\xff" * 4 + c[28:], wav()), "failed: …"),
    heard("40 hours of silence", flac(40, 1_000), "failed: sound is longer than …`sound_limit_s` …",
          sound_file="sound.flac"),
    heard("one sample", wav(lambda: np.full(1, 0.5)), "ok 0.00 s"),
    # content
    Case("face only at the end", good(lambda: filmed(FACE_LATE, 6.0)),
         faces="ok 15", audio="ok 6.00 s"),
    Case("two people", good(two_people)),
    Case("a drawing", good(drawing), faces="missing: no face in 20 frames"),
    Case("black", good(plain(20, 320, 180)), faces="missing: no face in 20 frames"),
    # text
    spoken_of("empty text", "", "missing: empty text"),
    spoken_of("blank text", " \t\n\u3000\u200b", "missing: empty text"),
    spoken_of("10,000 words", "word " * 10_000, "ok 32, text truncated: 512 of 10002 tokens kept"),
    spoken_of("a word of 100,000 letters", "w" * 100_000, "ok 3"),
    spoken_of("emoji", "👩‍👩‍👧 😀🏳️‍🌈", "ok 4"),
    spoken_of("right to left", "היה ממש טוב مرحبا", "ok 6"),
    spoken_of("control characters", "it\0 was\a \x1b[31mreally\x7f good\x85\u202e", "ok 7"),
    spoken_of("lone surrogates", "it was \ud83d really \udc00 good", "ok 6"),
    # labels
    Case("NaN label", label=float("nan")),
    Case("no label", label=None),
    # names
    named("spaces and quotes in the name", """ a "b" 'c' $d .mp4"""),
    named("a newline in the name", "a\nb.mp4"),
    named("an emoji in the name", "😀 é.mp4"),
    named("a dash before the name", "-i.mp4"),
    named("a pattern for a name", "%03d*?[a].mp4"),
    named("a protocol in the name", "http:x.mp4"),
    named("a name of 254 letters", "x" * 250 + ".mp4"),
    Case("gone, a newline in the name", gone, file="a\nb.mp4",
         faces="failed: video not found", audio="failed: sound not found"),
    # what is no file
    unopened("a directory", lambda path: path.mkdir(), "Is a directory"),
    unopened("a named pipe", lambda path: os.mkfifo(path), "Is a named pipe"),
    heard("a named pipe for sound", lambda path: os.mkfifo(path),
          "failed: sound can't be opened: Is a named pipe"),
    unopened("a link to itself", link("clip.mp4"), "Too many levels of symbolic links"),
    unopened("a link to a device", link("/dev/zero"), "Is a device"),
    unopened("a file of the kernel", link("/proc/self/mem"), "Is a file of the kernel",
             can_be_made=lambda: Path("/proc/self/mem").exists()),
    unopened("a file without permission", unreadable, "Permission denied",
             can_be_made=lambda: os.geteuid() != 0),
]

HEAD = b"id,text,label,split\n"
REFUSED = [  # a bad dataset, and the line that the user gets
    ("text that is not UTF-8", HEAD + b"a,hm,0,train\nb,caf\xe9,0,train\n", "…:3: not UTF-8 …"),
    ("a label that is no number", HEAD + b"a,hm,high,train\n", "…:2: label 'high' is not …"),
    ("an infinite label", HEAD + b"a,hm,inf,train\n", "…:2: label 'inf' is not a number; …"),
    ("a control character in an id", HEAD + b"a\x07,hm,0,train\n", "…:2: id 'a\\x07' holds …"),
    ("an id twice", HEAD + b"a,hm,0,train\na,hm,0,test\n", "…:3: id 'a' already appears at …:2"),
    ("an unknown split", HEAD + b"a,hm,0,dev\n", "…:2: unknown split 'dev'; one of train, …"),
    ("an empty file", b"", "…: holds no clips"),
]
# fmt: on
