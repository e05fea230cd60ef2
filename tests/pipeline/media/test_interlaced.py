"""Interlaced video comes out whole, and as its own: no combs, no other clip's pictures."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.media import frames

PAL, NTSC = Fraction(25), Fraction(30_000, 1001)
HEIGHT_PX = {PAL: 576, NTSC: 480}
WIDTH_PX = 720
PICTURES = 6
INTERLACED = 1 << 29 | 1 << 18  # FFmpeg's flags ildct and ilme
MOST_ERROR = 6  # grey levels of the mean; codecs and made-up lines cost 2 to 5, a comb 9
MOST_COMB = 1.0  # grey levels; a woven picture has 15 and more


@dataclass(frozen=True)
class Kind:
    """How an interlaced file is written. is_top: whether the field of the upper lines is first."""

    file: str
    encoder: str
    rate: Fraction = PAL
    pixels: str = "yuv420p"
    is_top: bool = True
    options: dict[str, str] = field(default_factory=dict)


KINDS = [
    Kind("clip.ts", "mpeg2video"),
    Kind("clip.mpg", "mpeg2video", NTSC),
    Kind("clip.mp4", "libx264", options={"x264-params": "tff=1:threads=1"}),
    Kind("clip.ts", "libx264", NTSC, is_top=False, options={"x264-params": "bff=1:threads=1"}),
    Kind("clip.mov", "libx264", PAL, "yuv422p10le", options={"x264-params": "tff=1:threads=1"}),
    Kind("clip.avi", "mpeg4"),
    Kind("clip.avi", "mpeg4", NTSC, is_top=False),
    Kind("clip.avi", "dvvideo", is_top=False),
    Kind("clip.dv", "dvvideo", NTSC, "yuv411p", is_top=False),
    Kind("clip.mov", "prores_ks", PAL, "yuv422p10le"),
]


def moment(time_s: float, height: int) -> np.ndarray:
    """Stripes on their way to the right, over slow changes of colour: rgb [height, 720, 3]."""
    x, y = np.arange(WIDTH_PX)[None], np.arange(height)[:, None]
    red = 127 + 90 * np.sign(np.sin(2 * np.pi * (x / 80 - 8 * time_s))) + 0 * y
    green = 90 + 40 * np.sin(2 * np.pi * y / height) + 0 * x
    blue = 127 - 60 * np.sin(2 * np.pi * x / WIDTH_PX) + 0 * y
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def woven(number: int, kind: Kind) -> np.ndarray:
    """A frame of two moments, half a frame apart, in alternating lines."""
    first, second = (
        moment((number + shift) / float(kind.rate), HEIGHT_PX[kind.rate]) for shift in (0, 0.5)
    )
    first[kind.is_top :: 2] = second[kind.is_top :: 2]
    return first


def write(path: Path, kind: Kind) -> Path:
    height, clock = HEIGHT_PX[kind.rate], 1 / kind.rate
    graph = av.filter.Graph()
    nodes = [
        graph.add_buffer(width=WIDTH_PX, height=height, format="rgb24", time_base=clock),
        graph.add("scale", "interl=1"),
        graph.add("format", kind.pixels),
        graph.add("setparams", f"field_mode={'tff' if kind.is_top else 'bff'}"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    container_format = "dv" if path.suffix == ".dv" else None
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(kind.encoder, rate=kind.rate, options=kind.options)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, height, kind.pixels
        stream.bit_rate = 8_000_000
        stream.codec_context.flags |= INTERLACED
        for number in range(PICTURES):
            graph.push(av.VideoFrame.from_ndarray(woven(number, kind), "rgb24"))
            frame = graph.pull()
            frame.pts, frame.time_base = number, clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_red(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, 576, "yuv420p"
        red = np.zeros((576, WIDTH_PX, 3), np.uint8)
        red[..., 0] = 255
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(red, "rgb24")))
        container.mux(stream.encode())
    return path


def error_of(rgb: np.ndarray, number: int, kind: Kind) -> float:
    """The mean absolute difference to the nearer of the two moments, without regard to width."""
    columns = np.linspace(0, rgb.shape[1] - 1, WIDTH_PX).round().astype(int)
    rgb, height = rgb[:, columns].astype(int), HEIGHT_PX[kind.rate]
    truths = (moment((number + shift) / float(kind.rate), height) for shift in (0, 0.5))
    return float(min(np.abs(rgb - truth).mean() for truth in truths))


def comb_of(rgb: np.ndarray) -> float:
    """How much lines differ from the mean of their neighbours."""
    grey = rgb.mean(axis=-1)
    return float(np.abs(grey[1:-1] - (grey[:-2] + grey[2:]) / 2).mean())


@pytest.mark.parametrize(
    "kind", KINDS, ids=lambda k: f"{k.encoder} {k.file[5:]} {HEIGHT_PX[k.rate]} {k.pixels}"
)
def test_interlaced_pictures_are_whole_and_the_clips_own(tmp_path: Path, kind: Kind) -> None:
    clip = frames(str(write(tmp_path / kind.file, kind)))
    assert len(list(frames(str(write_red(tmp_path / "red.mp4"))))) == 3
    pictures = list(clip)
    assert "interlaced, made whole with bwdif" in clip.note
    steps = [i / float(kind.rate) for i in range(PICTURES)]
    np.testing.assert_allclose([time for time, _ in pictures], steps, atol=1e-4)
    for number, (_, rgb) in enumerate(pictures):
        assert error_of(rgb, number, kind) < MOST_ERROR
        assert comb_of(rgb) < MOST_COMB
    assert comb_of(woven(3, kind)) > 10 * MOST_COMB  # what it would be otherwise
    assert error_of(woven(3, kind), 3, kind) > 1.2 * MOST_ERROR


def test_a_clip_of_one_interlaced_picture_is_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.ts", KINDS[0])
    (first, *_) = frames(str(path))
    (thinned,) = frames(str(path), fps=0.1)
    assert first[0] == thinned[0] == 0
    np.testing.assert_array_equal(first[1], thinned[1])


def test_progressive_pictures_are_left_as_they_are(tmp_path: Path) -> None:
    clip = frames(str(write_red(tmp_path / "red.mp4")))
    assert all(abs(rgb[..., 0].mean() - 255) < 3 for _, rgb in clip)
    assert clip.note == ""
