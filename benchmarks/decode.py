"""Decoding to rgb: OpenCV against PyAV's ways, one thread each.

The clips are H.264 made of real footage. "frames" is what the pipeline does, with times and checks.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import cv2
from av.video.reformatter import VideoReformatter

from pipeline import media
from pipeline.media.filters import Chain, Filter
from pipeline.media.write_mp4 import write_mp4
from pipeline.sample import footage

HEIGHTS = (360, 720, 1080)
FPS = 25
Way = Callable[[str], int]  # of a path: how many pictures there were


def opencv(path: str) -> int:
    """grab, retrieve and its colours put in order, as the pipeline did before."""
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    count = 0
    while capture.grab():
        cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
        count += 1
    return count


def _decoded(path: str, threads: str = "NONE") -> Iterator[Any]:
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = threads
        stream.codec_context.thread_count = 0 if threads == "AUTO" else 1
        yield from container.decode(stream)


def decode_only(path: str) -> int:
    """What no way to rgb can do without."""
    return sum(1 for _ in _decoded(path))


def to_ndarray(path: str) -> int:
    """The shortest to write: a context of swscale a picture, on all cores."""
    return sum(1 for frame in _decoded(path) if frame.to_ndarray(format="rgb24").size)


def reformatter(path: str) -> int:
    """One context of swscale for all pictures, on one thread."""
    made = VideoReformatter()
    return sum(
        made.reformat(frame, format="rgb24", threads=1).to_ndarray().size > 0
        for frame in _decoded(path)
    )


def chain(*filters: Filter) -> Way:
    """A chain of filters, as the pipeline has it."""

    def way(path: str) -> int:
        made, count = None, 0
        for frame in _decoded(path):
            made = made or Chain(filters, frame)
            count += sum(picture.to_ndarray().size > 0 for picture in made.push(frame))
        return count + sum(1 for _ in made.push(None)) if made else 0

    return way


def frames(path: str) -> int:
    """The pipeline's own."""
    return sum(1 for _ in media.frames(path))


RGB: Filter = ("format", {"pix_fmts": "rgb24"})
DEINTERLACED: Filter = ("bwdif", {"mode": "send_frame", "deint": "all"})
WAYS_TO_RGB: dict[str, Way] = {
    "OpenCV, one thread": opencv,
    "PyAV, decoded alone": decode_only,
    "PyAV, to_ndarray": to_ndarray,
    "PyAV, one reformatter": reformatter,
    "PyAV, scale, bilinear": chain(("scale", {"flags": "bilinear"}), RGB),
    "PyAV, scale, point": chain(("scale", {"flags": "neighbor"}), RGB),
    "PyAV, scale, accurate": chain(
        ("scale", {"flags": "bicubic+accurate_rnd+full_chroma_int"}), RGB
    ),
    "PyAV, bwdif and scale": chain(DEINTERLACED, RGB),
    "pipeline.media.frames": frames,
}


def written(path: Path, height: int, pictures: int) -> Path:
    """Real footage, scaled to that height."""
    folder = footage._folder()
    shown = (rgb for _, rgb in media.frames(str(folder / footage.WOMAN)))
    width = height * 16 // 9 // 2 * 2
    scaled = (
        cv2.resize(rgb, (width, height)) for _, rgb in zip(range(pictures), shown, strict=False)
    )
    write_mp4(path, scaled, Fraction(FPS), preset="veryfast")
    return path


def timed(way: Way, path: str, pictures: int) -> float:
    """Milliseconds of the processor a picture."""
    begun = time.process_time()
    assert way(path) == pictures
    return 1000 * (time.process_time() - begun) / pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=120, help="a clip")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(f"PyAV {version('av')}, OpenCV {cv2.__version__}, FFmpeg {av.ffmpeg_version_info}")
    with TemporaryDirectory() as folder:
        for height in HEIGHTS:
            path = written(Path(folder, f"{height}.mp4"), height, options.pictures)
            print(f"\n{height}p, {options.pictures} pictures")
            print(f"{'':24}{'ms a picture':>13}{'ratio':>8}")
            costs: dict[str, list[float]] = {name: [] for name in WAYS_TO_RGB}
            for _ in range(options.repeats):  # in turns, so that a busy minute strikes all
                for name, way in WAYS_TO_RGB.items():
                    costs[name].append(timed(way, str(path), options.pictures))
            usual = statistics.median(costs["OpenCV, one thread"])
            for name, each in costs.items():
                cost = statistics.median(each)
                print(f"{name:24}{cost:13.2f}{usual / cost:7.2f}×")


if __name__ == "__main__":
    main()
