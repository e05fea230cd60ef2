"""Integral images: the mean of any rectangle, so any resize of any part, by four look-ups a pixel.

What comes out is what `torch.nn.functional.interpolate(mode="area")` gives for an image or a part
of it, without a loop over the parts and whatever their sizes. Source: Viola and Jones, "Rapid
Object Detection using a Boosted Cascade of Simple Features", 2001.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from pipeline.system.device import uploaded

Pictures = Sequence[np.ndarray] | torch.Tensor  # rgb, uint8 [height, width, 3] each, of one size
GREY, RANGE = 127.5, 128.0  # MTCNN's networks see (pixel − GREY) / RANGE


@dataclass(frozen=True)
class Span:
    """Which pixels go into each of n cells along one side of an image.

    first, end: int64 [..., n], end excluded. As in adaptive pooling, neighbours may share a pixel.
    """

    first: torch.Tensor
    end: torch.Tensor

    @classmethod
    def of(
        cls,
        cells: torch.Tensor,
        count: int,
        length: torch.Tensor | int,
        start: torch.Tensor | int = 0,
    ) -> Span:
        """The given ones of `count` equal cells of `length` pixels from pixel `start` on."""
        first, end = cells * length // count, ((cells + 1) * length + count - 1) // count
        return cls(first + start, end + start)

    @property
    def share(self) -> torch.Tensor:
        """What each pixel counts for in the mean of its cell."""
        return 1 / (self.end - self.first)


@dataclass(frozen=True)
class Grid:
    """Cells of an image: which sums make up each, and how many pixels it has.

    corners: int32 [4, r · c], indices of sums, to be counted +, −, −, +. rows, columns: float32 [r]
    and [c], what a pixel counts for in either direction.
    """

    corners: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor

    @classmethod
    def of(cls, rows: Span, columns: Span, width: int) -> Grid:
        """Of all cells of these rows and columns in an image of that width."""
        y, x = (torch.stack([span.end, span.first]) for span in (rows, columns))
        corners = y[:, None, :, None] * (width + 1) + x[None, :, None, :]
        return cls(corners.flatten(2).flatten(0, 1).int(), rows.share, columns.share)


@dataclass(frozen=True)
class IntegralImages:
    """The sums of all pixels above and left of each point, of n images of one size.

    sums: int32 [n, height + 1, width + 1, 3]. They may overflow: differences stay right.
    """

    sums: torch.Tensor

    @classmethod
    def of(cls, pictures: Pictures) -> IntegralImages:
        """Of pictures where they are."""
        if isinstance(pictures, torch.Tensor):
            below = pictures.cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32)
            return cls(torch.nn.functional.pad(below, (0, 0, 1, 0, 1, 0)))
        # OpenCV sums an image many times as fast on a CPU as torch does.
        height, width, colours = pictures[0].shape
        sums = np.empty((len(pictures), height + 1, width + 1, colours), np.int32)
        for rgb, its in zip(pictures, sums, strict=True):
            cv2.integral(rgb, its)
        return cls(torch.from_numpy(sums))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.sums.shape[1] - 1, self.sums.shape[2] - 1

    def cells(self, grid: Grid) -> torch.Tensor:
        """The means of a grid in every image, [n, 3, r, c], as networks see them."""
        table = self.sums.flatten(1, 2)
        first, second, third, fourth = (table.index_select(1, corner) for corner in grid.corners)
        sums = first.sub_(second).sub_(third).add_(fourth)
        return _means(sums, grid.rows[None], grid.columns[None])

    def crops(self, image: torch.Tensor, rows: Span, columns: Span) -> torch.Tensor:
        """The means of a grid of its own for each of m crops, [m, 3, r, c].

        image: int64 [m], which one each crop is of; rows: [m, r]; columns: [m, c].
        """
        height, width, colours = self.sums.shape[1:]
        table = self.sums.view(-1, colours)

        def at(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            points = ((image[:, None] * height + y) * width)[:, :, None] + x[:, None, :]
            return table.index_select(0, points.flatten())

        sums = at(rows.end, columns.end).sub_(at(rows.end, columns.first))
        sums = sums.sub_(at(rows.first, columns.end)).add_(at(rows.first, columns.first))
        return _means(sums, rows.share, columns.share)


def brought(images: Sequence[np.ndarray], device: str) -> Pictures:
    """Pictures to where they are summed: the bytes alone, an eighth of what sums then take."""
    return images if device == "cpu" else uploaded(torch.from_numpy(np.stack(images)), device)


def _means(sums: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Sums of all cells, 3 each, to means [n, 3, r, c], pixels before channels in memory."""
    colours = sums.shape[-1]
    r, c = rows.shape[1], columns.shape[1]
    # Lines of c × 3 values, because torch is slow where the last axis is a short one.
    lines = sums.view(-1, r, c * colours) * (rows / RANGE)[:, :, None]
    lines.mul_(columns.repeat_interleave(colours, 1)[:, None]).sub_(GREY / RANGE)
    return lines.view(-1, r, c, colours).permute(0, 3, 1, 2)
