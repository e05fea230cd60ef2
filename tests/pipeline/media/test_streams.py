"""Of several streams the right one is taken, and pixels come out square."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import media
from pipeline.media import frames
from pipeline.media.probe import probe

SMALL, LARGE = (180, 320), (270, 480)
DEFAULT = av.stream.Disposition.default
PLAIN = av.stream.Disposition(0)


def write(path: Path, *streams: tuple[tuple[int, int], av.stream.Disposition]) -> Path:
    """Streams of pictures of those sizes, the first the darkest."""
    with av.open(str(path), "w") as container:
        made = []
        for (height, width), flags in streams:
            stream = container.add_stream("libx264", rate=10)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            stream.disposition = flags
            made.append(stream)
        for number, stream in enumerate(made):
            image = np.full((stream.height, stream.width, 3), 60 * (number + 1), np.uint8)
            for _ in range(3):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("flags", "sizes", "taken"),
    [
        ((PLAIN, PLAIN), (SMALL, LARGE), 2),
        ((PLAIN, PLAIN), (LARGE, SMALL), 1),
        ((PLAIN, PLAIN), (SMALL, SMALL), 1),
        ((PLAIN, DEFAULT), (LARGE, SMALL), 2),
        ((DEFAULT, PLAIN), (SMALL, LARGE), 1),
        ((DEFAULT, DEFAULT), (SMALL, LARGE), 2),
        ((PLAIN, PLAIN, DEFAULT), (SMALL, LARGE, SMALL), 3),
    ],
)
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_the_default_stream_is_taken_else_the_largest(tmp_path, flags, sizes, taken, suffix):
    if suffix == ".ts" and DEFAULT in flags:
        pytest.skip("a transport stream flags none as default")
    if suffix == ".mp4" and DEFAULT not in flags:
        pytest.skip("an mp4 flags its first stream where none is to be")
    path = write(tmp_path / f"clip{suffix}", *zip(sizes, flags, strict=True))
    clip = frames(str(path))
    pictures = list(clip)
    height, width = sizes[taken - 1]
    assert pictures[0][1].shape == (height, width, 3)
    assert pictures[0][1].mean() == pytest.approx(60 * taken, abs=3)
    assert clip.note.startswith(
        f"picture stream {taken} of {len(sizes)} taken ({width}×{height}), not "
    )
    assert clip.note.count("×") == len(sizes)
    assert probe(str(path), "video").video


def test_sound_follows_the_same_rule(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        layouts = ("mono", "stereo")
        made = [container.add_stream("pcm_s16le", rate=8000, layout=name) for name in layouts]
        for stream, layout in zip(made, layouts, strict=True):
            stream.disposition = PLAIN
            samples = np.full((1, 8000 * len(stream.layout.channels)), 1000, np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
            frame.sample_rate, frame.pts = 8000, 0
            container.mux([*stream.encode(frame), *stream.encode()])
    heard = media.load_audio(str(tmp_path / "a.mkv"))
    assert heard.samples.shape == (2, 8000)
    assert heard.note == "sound stream 2 of 2 taken (2 channels), not 1 (1 channel)"


def write_circle(path: Path, height: int, width: int, aspect: Fraction, encoder: str) -> Path:
    """A white disc that is round where pixels have that aspect."""
    y, x = np.mgrid[:height, :width]
    across = (x - width / 2) * float(aspect)
    disc = across**2 + (y - height / 2) ** 2 < (0.4 * height) ** 2
    image = np.repeat((disc * 200 + 20).astype(np.uint8)[..., None], 3, axis=2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=25)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.bit_rate = 4_000_000
        stream.codec_context.sample_aspect_ratio = aspect
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("aspect", [Fraction(16, 15), Fraction(64, 45), Fraction(8, 9)])
@pytest.mark.parametrize(
    ("suffix", "encoder"),
    [(".mp4", "libx264"), (".mkv", "libx264"), (".ts", "libx264"), (".ts", "mpeg2video"),
     (".mpg", "mpeg2video"), (".avi", "mpeg4"), (".mov", "mpeg4")],
)  # fmt: skip
def test_pixels_come_out_square(tmp_path, aspect, suffix, encoder):
    if encoder == "mpeg2video" and aspect < 1:
        pytest.skip("MPEG-2 knows pictures of 4:3 and 16:9 alone")
    clip = frames(str(write_circle(tmp_path / f"clip{suffix}", 288, 360, aspect, encoder)))
    pictures = [rgb for _, rgb in clip]
    width = round(360 * aspect)
    assert pictures[0].shape == (288, width, 3)
    disc = pictures[0][..., 1] > 120
    wide, tall = disc[144].sum(), disc[:, width // 2].sum()
    assert abs(int(wide) - int(tall)) <= 3
    assert clip.note == f"pixels not square: 360×288 scaled to {width}×288"


def test_square_pixels_and_impossible_ones_are_left_alone(tmp_path):
    for aspect in (Fraction(1), Fraction(100, 1)):
        clip = frames(str(write_circle(tmp_path / "clip.mkv", 288, 360, aspect, "libx264")))
        assert [rgb.shape for _, rgb in clip] == [(288, 360, 3)] * 3
        assert clip.note == ""
