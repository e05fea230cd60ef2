"""Computational sequences, the `.csd` files of the CMU-MultimodalSDK: values of spans of videos.

The layout is that of `write_CSD` there (mmsdk/mmdatasdk/computational_sequence/file_ops.py): HDF5
with one group, whose `data/<video>/intervals` are [n, 2] seconds and `features` are [n, width].
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import UserError
from pipeline.messages import quoted
from pipeline.system.libraries import require

MOST_VIDEOS, MOST_SPANS = 100_000, 100_000  # in a file, in a video


class Span(NamedTuple):
    """Seconds on the clock of a video, and what is said of them."""

    video: str
    start: float
    end: float
    values: tuple[float, ...]


def spans(path: Path, width: int) -> Iterator[Span]:
    """What a file says, by video and in the order of time; `width` values a span.

    A span before a video's start begins with it. Raises UserError for what is no such file, and
    where h5py is not installed.
    """
    require({"h5py": "csd"})
    import h5py  # of an extra

    try:
        with h5py.File(path, "r") as file:
            for video, held in _videos(path, file):
                intervals = _read(path, video, held, "intervals", 2)
                values = _read(path, video, held, "features", width)
                if len(intervals) != len(values):
                    told = f"{len(intervals)} intervals, but {len(values)} rows of features"
                    raise UserError(f"{path}: {quoted(video)} has {told}")
                found = zip(intervals, values, strict=True)
                name = video.split("[")[0]  # as the SDK strips what it adds in aligning
                for (start, end), own in sorted(found, key=lambda pair: list(pair[0])):
                    yield Span(name, max(start, 0.0), end, tuple(own))
    except (OSError, KeyError, RuntimeError) as error:
        raise UserError(f"{path} can't be read: {error}") from error


def _videos(path: Path, file: Any) -> Iterator[tuple[str, Any]]:
    """Each video by name. What links elsewhere is refused: it may be any file of the machine."""
    import h5py

    groups = [_own(path, file, name) for name in file]
    data = next((_own(path, g, "data") for g in groups if "data" in g), None)
    if not isinstance(data, h5py.Group) or len(data) > MOST_VIDEOS:
        raise UserError(f"{path}: no computational sequence of up to {MOST_VIDEOS} videos")
    for name in sorted(data):
        yield name, _own(path, data, name)


def _own(path: Path, group: Any, name: str) -> Any:
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise UserError(f"{path}: {quoted(name)} is a link or missing")
    return group[name]


def _read(path: Path, video: str, held: Any, name: str, width: int) -> list[list[float]]:
    data = _own(path, held, name)
    shape: tuple[int, ...] = getattr(data, "shape", ())
    is_numbers = len(shape) == 2 and data.dtype.kind in "fiu"
    if not is_numbers or shape[1] != width or shape[0] > MOST_SPANS:
        what = f"expected up to {MOST_SPANS} rows of {width} numbers, got {shape}"
        raise UserError(f"{path}: {quoted(video)}: {name}: {what}")
    if data.external or data.is_virtual:
        raise UserError(f"{path}: {quoted(video)}: {name}: its values are in another file")
    return data[()].astype(float).tolist()
