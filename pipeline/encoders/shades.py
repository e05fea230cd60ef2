"""How a library normalises pictures, as a table: so they cross to a device as bytes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from pipeline.system.device import uploaded

Made = Callable[[np.ndarray], torch.Tensor]
"""From uint8 rgb pictures [n, h, w, 3] to [..., 3, px, px]."""
LEVELS, PICTURES, BLOCKS, BLOCK_PX = 256, 32, 3, 42


class Shades:
    """What becomes of each byte of each colour: the very floats that the library makes of it.

    table: float32 [3, 256].
    """

    def __init__(self, table: np.ndarray, device: str) -> None:
        self._table = uploaded(torch.from_numpy(table).flatten(), device)
        first = LEVELS * torch.arange(len(table), dtype=torch.int32)
        self._first = uploaded(first.view(-1, 1, 1), device)

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """uint8 [..., 3, px, px] on the device to float32."""
        at = pictures + self._first
        return self._table.index_select(0, at.flatten()).view(at.shape)


def found(prepared: Made, sized: Made, device: str) -> Shades | None:
    """By what `prepared` makes of pixels that are bytes in `sized`, on pictures that have all.

    None on the CPU, and where a library does more with a pixel than that.
    """
    if device == "cpu":
        return None
    pictures = _of_all_levels()
    try:
        of_bytes, of_floats = (_by_colour(made(pictures)) for made in (sized, prepared))
    except (TypeError, ValueError):  # EfficientNet's and ViViT's processors do it all or nothing
        return None
    if of_bytes.dtype != np.uint8 or of_bytes.shape != of_floats.shape:
        return None
    table = np.full((len(of_bytes), LEVELS), np.nan, np.float32)
    np.put_along_axis(table, of_bytes.astype(np.int64), of_floats, axis=1)
    again = np.take_along_axis(table, of_bytes.astype(np.int64), axis=1)
    return Shades(table, device) if np.array_equal(again, of_floats) and _is_full(table) else None


def _is_full(table: np.ndarray) -> bool:
    return not np.isnan(table).any()


def _by_colour(pictures: torch.Tensor) -> np.ndarray:
    """[..., 3, px, px] to [3, all]."""
    return np.moveaxis(pictures.numpy(), -3, 0).reshape(pictures.shape[-3], -1)


def _of_all_levels() -> np.ndarray:
    """Pictures of blocks so large that resizing and cropping leave something of each level."""
    random = np.random.default_rng(0)
    count = PICTURES * BLOCKS**2
    levels = [random.permutation(np.arange(count) % LEVELS) for _ in range(3)]
    blocks = np.stack(levels, axis=-1).astype(np.uint8).reshape(PICTURES, BLOCKS, BLOCKS, 3)
    return blocks.repeat(BLOCK_PX, axis=1).repeat(BLOCK_PX, axis=2)
