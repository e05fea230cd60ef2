"""Decoded frames as pictures: rgb, upright, with square pixels, in the colours of SDR."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pipeline.media.filters import Chain, Filter
from pipeline.media.hdr import BT709, BT2020, HLG, NAMES, P3, PQ, PRIMARIES, table

MOST_STRETCHED = 8  # of the sides of a pixel; beyond it the header is damaged
UNSPECIFIED = 2  # FFmpeg's number, of colour matrices and primaries


class Rgb:
    """Makes pictures of a stream's frames, each by what the frame and the stream say of themselves.

    The matrix and range are the frame's own; where none is told, FFmpeg's (and OpenCV's) BT.601 is
    taken, limited range. Where frames change their size midway, all pictures have that of the
    first, so that boxes can be followed. tell: what takes the notes.
    """

    def __init__(self, stream: Any, tell: Callable[[str], None]) -> None:
        self._stream, self._tell = stream, tell
        self._kind: tuple[Any, ...] = ()
        self._size = (0, 0)  # width, height

    def fit(self, first: Any) -> tuple[int, int]:
        """All pictures are to be as large as that of this frame: so wide and high, not turned."""
        self._size = self._square_width(first), first.height
        return self._size

    def __call__(self, frame: Any) -> np.ndarray:
        """uint8 [height, width, 3]."""
        transfer, primaries = int(frame.color_trc), int(frame.color_primaries)
        width = self._square_width(frame)
        kind = (frame.width, frame.height, frame.format.name, width, transfer, primaries)
        if kind != self._kind:
            self._kind, self._chain = kind, self._made(frame, width, transfer, primaries)
        (picture,) = self._chain.push(frame)
        return _upright(picture.to_ndarray(), frame)

    def _square_width(self, frame: Any) -> int:
        """How wide a picture is in square pixels."""
        codec = self._stream.codec_context
        aspect = self._stream.sample_aspect_ratio or codec.sample_aspect_ratio or Fraction(1)
        is_possible = 1 / MOST_STRETCHED <= aspect <= MOST_STRETCHED
        return max(1, round(frame.width * aspect)) if is_possible else int(frame.width)

    def _made(self, frame: Any, width: int, transfer: int, primaries: int) -> Chain:
        scale = {"width": str(self._size[0]), "height": str(self._size[1])}
        size = f"{frame.width}×{frame.height}"
        if width != frame.width:
            self._tell(f"pixels not square: {size} scaled to {width}×{frame.height}")
        if (width, frame.height) != self._size:
            self._tell(f"pictures of {size} scaled to the first one's {'×'.join(scale.values())}")
        is_hdr = transfer in (PQ, HLG)
        primaries = BT2020 if is_hdr and primaries == UNSPECIFIED else primaries
        if is_hdr or primaries in (BT2020, P3):
            return self._converted(frame, scale, transfer, primaries)
        return Chain([("scale", scale), ("format", {"pix_fmts": "rgb24"})], frame)

    def _converted(self, frame: Any, scale: dict[str, str], transfer: int, primaries: int) -> Chain:
        """Through a table of colours, which the chain reads as it is made."""
        primaries = primaries if primaries in PRIMARIES else BT709
        names = [NAMES[n] for n in (transfer, primaries) if n in NAMES]
        self._tell(f"{', '.join(names)} brought to BT.709, SDR")
        if frame.colorspace == UNSPECIFIED:
            scale = {**scale, "in_color_matrix": "bt2020"}
        with TemporaryDirectory(prefix="smp-colours-") as folder:
            file = Path(folder, "table.cube")
            file.write_text(table(transfer, primaries))
            colours: list[Filter] = [
                ("scale", {**scale, "flags": "bicubic+accurate_rnd+full_chroma_int"}),
                ("format", {"pix_fmts": "gbrp12"}),
                ("lut3d", {"file": str(file), "interp": "tetrahedral"}),
                ("format", {"pix_fmts": "rgb24"}),
            ]
            return Chain(colours, frame)


def _upright(rgb: np.ndarray, frame: Any) -> np.ndarray:
    """Turned and mirrored as the frame's matrix says, to the nearest quarter turn."""
    told = frame.side_data.get("DISPLAYMATRIX")
    if told is None:
        return rgb
    import cv2

    (a, b, _), (c, d, _), _ = np.frombuffer(told, np.int32).reshape(3, 3).astype(float).tolist()
    if abs(a) + abs(d) < abs(b) + abs(c):
        rgb, a, d = cv2.transpose(rgb), c, b
    axes = {(True, True): -1, (True, False): 1, (False, True): 0}.get((a < 0, d < 0))
    return rgb if axes is None else np.asarray(cv2.flip(rgb, axes))
