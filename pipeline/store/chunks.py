"""How arrays are encoded, and rows of a local one read: each chunk by one thread to its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs.blosc import Blosc
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec

from pipeline.store.layout import CHECKSUM_BYTES
from pipeline.system.threads import spread


def encoding(dtype: str) -> dict[str, Any]:
    """Compressed, checked against bit rot; what was never written reads as NaN, not as zero.

    For zarr's `create_array`.
    """
    kind = np.dtype(dtype)
    return {
        "dtype": kind.name,
        "fill_value": np.nan if kind.kind == "f" else 0,
        "compressors": [
            BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=kind.itemsize),
            Crc32cCodec(),
        ],
        "config": {"write_empty_chunks": True},
    }


def is_readable(array: zarr.Array[Any]) -> bool:
    """Whether `read` knows an array: chunks of whole rows, in our `encoding`."""
    codecs = (*array.filters, array.serializer, *array.compressors)
    return (
        array.shards is None
        and array.chunks[1:] == array.shape[1:]
        and [type(codec) for codec in codecs] == [BytesCodec, BloscCodec, Crc32cCodec]
        and codecs[0] in (BytesCodec(endian="little"), BytesCodec(endian=None))
    )


def read(
    array: zarr.Array[Any],
    folder: Path,
    out: np.ndarray,
    check: Callable[[str, bytes | None], None] = lambda file, content: None,
    start: int = 0,
) -> None:
    """Put the rows of the array in `folder` from `start` on into `out`, as many as it holds.

    What was never written is the array's fill value.

    zarr checks and copies one chunk after the other, in its event loop; here that is spread over
    the threads that `system.threads` grants. check: is given each chunk's path in `folder` and its
    content, None where there is no such file. Raises ValueError or RuntimeError for a chunk that
    is not what was written, and what `check` raises.
    """
    size, stop = array.chunks[0], start + len(out)

    def read_chunk(number: int) -> None:
        first = number * size
        low, high = max(start, first), min(stop, first + size)
        rows = out[low - start : high - start]
        file = f"c/{number}{'/0' * (array.ndim - 1)}"
        try:
            content = (folder / file).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            check(file, None)
            rows[...] = array.fill_value
            return
        check(file, content)
        rows[...] = _decoded(content, array).reshape(array.chunks)[low - first : high - first]

    spread(read_chunk, range(start // size, -(-stop // size)))


def _decoded(content: bytes, array: zarr.Array[Any]) -> np.ndarray:
    """The values of a chunk, flat. Raises ValueError where the checksum is another."""
    whole = np.frombuffer(content, np.uint8)
    encoded, checksum = whole[:-CHECKSUM_BYTES], content[-CHECKSUM_BYTES:]
    found = google_crc32c.value(encoded).to_bytes(CHECKSUM_BYTES, "little")
    if found != checksum:
        raise ValueError(f"checksum {found.hex()} is not the stored {checksum.hex()}")
    return np.frombuffer(Blosc().decode(encoded), array.dtype)
