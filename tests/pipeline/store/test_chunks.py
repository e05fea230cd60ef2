"""Arrays read chunk by chunk, against zarr's own reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ZstdCodec

from pipeline.store import chunks
from pipeline.system.threads import at_work


def stored(folder: Path, values: np.ndarray, **options: Any) -> zarr.Array[Any]:
    array = zarr.create_array(
        folder,
        shape=values.shape,
        **{
            "chunks": (3, *values.shape[1:]),
            **chunks.encoding(values.dtype.str),
            "fill_value": 7,
            **options,
        },
    )
    array[...] = values
    return array


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [(6, 4, 5), (7, 4, 5), (2, 4, 5), (7,)])
@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8"])
def test_what_is_read_is_what_zarr_reads(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, threads: int
) -> None:
    values = np.random.default_rng(0).uniform(0, 250, shape).astype(dtype)
    array = stored(tmp_path, values)
    assert chunks.is_readable(array)
    beside = np.zeros((*shape, 3), dtype)  # a view whose rows don't follow each other
    with at_work(threads):
        chunks.read(array, tmp_path, beside[..., 1])
    np.testing.assert_array_equal(beside[..., 1], array[...])
    assert not beside[..., ::2].any()


def test_what_was_never_written_is_the_fill_value(tmp_path: Path) -> None:
    values = np.ones((8, 2), np.float32)
    array = stored(tmp_path, values)
    (tmp_path / "c/1/0").unlink()
    found = np.empty_like(values)
    chunks.read(array, tmp_path, found)
    np.testing.assert_array_equal(found[:, 0], [1, 1, 1, 7, 7, 7, 1, 1])


@pytest.mark.parametrize("place", [0, 4, 12, 20, -20, -4, -1])
def test_a_flipped_bit_is_an_error(tmp_path: Path, place: int) -> None:
    array = stored(tmp_path, np.random.default_rng(0).normal(size=(6, 50)))
    chunk = tmp_path / "c/0/0"
    content = bytearray(chunk.read_bytes())
    content[place] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        chunks.read(array, tmp_path, np.empty(array.shape))


@pytest.mark.parametrize("length", [0, 3, 4, 30])
def test_a_chunk_that_is_cut_short_is_an_error(tmp_path: Path, length: int) -> None:
    array = stored(tmp_path, np.random.default_rng(0).normal(size=(6, 50)))
    chunk = tmp_path / "c/1/0"
    chunk.write_bytes(chunk.read_bytes()[:length])
    with pytest.raises((ValueError, RuntimeError)):
        chunks.read(array, tmp_path, np.empty(array.shape))


@pytest.mark.parametrize(
    "options",
    [
        {"compressors": [ZstdCodec(), Crc32cCodec()]},
        {"compressors": [BloscCodec(cname="lz4")]},
        {"compressors": None},
        {"serializer": BytesCodec(endian="big")},
        {"chunks": (3, 2)},
        {"chunks": (1, 4), "shards": (3, 4)},
    ],
    ids=["zstd", "no checksum", "no compression", "big-endian", "parts of rows", "shards"],
)
def test_another_encoding_is_left_to_zarr(tmp_path: Path, options: dict[str, Any]) -> None:
    assert not chunks.is_readable(stored(tmp_path, np.ones((6, 4), np.float32), **options))
