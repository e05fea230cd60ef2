"""What one stage wrote at one fingerprint: a zarr v3 group, the one place that writes zarr."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import FsspecStore, LocalStore

from pipeline.commit import Commit, RowState
from pipeline.errors import UserError
from pipeline.extractor import OK, ClipResult
from pipeline.field import Field
from pipeline.files import STORAGE_OPTIONS, Folder, sync
from pipeline.steps import pad

CHUNK_BYTES = 16 << 20
RAGGED_CHUNK_BYTES = 4 << 20
FORMAT = 1


class Store:
    """`[clips, …]` arrays in chunks of whole partitions or a divisor of one, and their commits.

    One writer a partition; a partition counts only once its commit is there, and the commit goes
    before the data is touched again. A ragged field is a group of one `values` array a partition
    beside `offsets` [clips, 2], the start and stop of each clip in its partition's values.
    """

    def __init__(self, url: str) -> None:
        self.folder = Folder(url)
        self._commits = self.folder / "commits"

    # ---- shape -----------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        url: str,
        fields: Mapping[str, Field],
        steps: int,
        partition: int,
        clips: int,
        provenance: Mapping[str, Any],
    ) -> Store:
        """Make the store, or grow the one that is there to `clips` rows."""
        store = cls(url)
        if store.folder.read("zarr.json") is None:
            declared = {
                name: {"axes": f.axes, "dtype": f.dtype, "unit": f.unit, "ragged": f.ragged}
                for name, f in fields.items()
            }
            attributes = {"format": FORMAT, "steps": steps, "partition": partition}
            zarr.create_group(
                store._zarr_store(), attributes={**attributes, "fields": declared, **provenance}
            )
        store._fit(clips)
        return store

    @cached_property
    def group(self) -> zarr.Group:
        """The zarr group; UserError where there is none."""
        try:
            return zarr.open_group(self._zarr_store(), mode="r+", zarr_format=3)
        except FileNotFoundError:
            raise UserError(f"{self.folder.url}: no store; run `smp extract` first") from None

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Shape and provenance: settings, versions, weights, upstream fingerprints."""
        return dict(self.group.attrs)

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The declared fields; the first is the one that is read by default."""
        return {
            name: Field(tuple(f["axes"]), f["dtype"], f["unit"], f["ragged"])
            for name, f in self.attributes["fields"].items()
        }

    @property
    def steps(self) -> int:
        """The common time length."""
        return int(self.attributes["steps"])

    @property
    def partition(self) -> int:
        """Clips a partition."""
        return int(self.attributes["partition"])

    @property
    def clips(self) -> int:
        """Rows, committed or not."""
        return int(self._array("lengths").shape[0])

    def _zarr_store(self) -> LocalStore | FsspecStore:
        if self.folder.path is not None:
            return LocalStore(self.folder.path)
        return FsspecStore.from_url(self.folder.url, STORAGE_OPTIONS)

    def _array(self, name: str) -> zarr.Array[Any]:
        array = self.group[name]
        assert isinstance(array, zarr.Array)
        return array

    def _fit(self, clips: int) -> None:
        """Create the arrays that lack, resize those that are short. Rows never go away."""
        self._fit_array("lengths", Field((), "int32"), clips)
        for name, field in self.fields.items():
            if field.ragged:
                self._fit_array(f"{name}/offsets", Field((2,), "int64"), clips)
            else:
                self._fit_array(name, field, clips)

    def _fit_array(self, name: str, field: Field, clips: int) -> None:
        if name not in self.group:
            shape = field.shape(self.steps)
            self.group.create_array(
                name,
                shape=(clips, *shape),
                chunks=(self._rows_a_chunk(field), *shape),
                dimension_names=("clip", *(a if isinstance(a, str) else None for a in field.axes)),
                **_encoding(field.dtype),
            )
        elif self._array(name).shape[0] < clips:
            array = self._array(name)
            array.resize((clips, *array.shape[1:]))

    def _rows_a_chunk(self, field: Field) -> int:
        fitting = (
            rows
            for rows in range(self.partition, 0, -1)
            if self.partition % rows == 0 and rows * field.nbytes(self.steps) <= CHUNK_BYTES
        )
        return next(fitting, 1)

    # ---- writing ---------------------------------------------------------------------------

    def write(self, partition: int, keys: Sequence[str], results: Sequence[ClipResult]) -> Commit:
        """Write a partition's rows and then its commit, one result a key, in row order."""
        self._commits.remove(_commit_name(partition))
        rows = slice(partition * self.partition, partition * self.partition + len(results))
        lengths = np.array([result.length for result in results], np.int32)
        self._write_rows("lengths", rows, lengths)
        for name, field in self.fields.items():
            values = [self._row(name, field, result) for result in results]
            if field.ragged:
                self._write_ragged(name, partition, rows, values)
            else:
                self._write_rows(name, rows, np.stack(values))
        self._sync(partition)
        commit = Commit(
            tuple(
                RowState(key, result.state, result.length, result.reason)
                for key, result in zip(keys, results, strict=True)
            )
        )
        self._commits.write(_commit_name(partition), commit.to_bytes())
        return commit

    def _row(self, name: str, field: Field, result: ClipResult) -> np.ndarray:
        if result.state != OK:
            return field.empty(self.steps)
        row = np.asarray(result.rows[name])
        if "step" in field.axes and not field.ragged:
            row = pad(row, self.steps)
        field.check(name, row, self.steps)
        return row

    def _write_rows(self, name: str, rows: slice, values: np.ndarray) -> None:
        self._array(name)[rows] = values

    def _write_ragged(
        self, name: str, partition: int, rows: slice, values: list[np.ndarray]
    ) -> None:
        stops = np.cumsum([len(value) for value in values])
        starts = np.concatenate([[0], stops[:-1]])
        joined = np.concatenate(values)
        chunk = max(1, RAGGED_CHUNK_BYTES // max(1, joined[:1].nbytes))
        self.group.create_array(
            f"{name}/{_values_name(partition)}",
            shape=joined.shape,
            chunks=(chunk, *joined.shape[1:]),
            overwrite=True,
            **_encoding(joined.dtype.str),
        )[...] = joined
        self._write_rows(f"{name}/offsets", rows, np.stack([starts, stops], axis=1))

    def _sync(self, partition: int) -> None:
        """Have the partition's chunks on disk before the commit that vouches for them."""
        for chunk in self._chunk_paths(partition):
            for path in [chunk, *chunk.rglob("*"), chunk.parent]:
                sync(path)

    def _chunk_paths(self, partition: int) -> Iterator[Path]:
        """The local files, or folders of files, that hold the partition's data."""
        root = self.folder.path
        if root is None:
            return
        for name in ["lengths", *self.fields]:
            if name != "lengths" and self.fields[name].ragged:
                yield root / name / _values_name(partition)
                name = f"{name}/offsets"
            chunks = self.partition // self._array(name).chunks[0]
            for index in range(partition * chunks, (partition + 1) * chunks):
                if (chunk := root / name / "c" / str(index)).exists():
                    yield chunk

    # ---- reading ---------------------------------------------------------------------------

    def commit(self, partition: int) -> Commit | None:
        """The partition's commit, None where the partition has to be done."""
        name = _commit_name(partition)
        content = self._commits.read(name)
        return None if content is None else self._parsed(name, content)

    def commits(self) -> dict[int, Commit]:
        """Every committed partition."""
        found = self._commits.read_all(".json")
        return {
            int(name.removesuffix(".json")): self._parsed(name, content)
            for name, content in found.items()
        }

    def _parsed(self, name: str, content: bytes) -> Commit:
        return Commit.from_bytes(content, f"{self._commits.url}/{name}")

    def read(self, name: str | None = None) -> np.ndarray:
        """All rows of a field, `[clips, …]`, committed or not; a ragged field is read by clip."""
        name = name or next(iter(self.fields))
        if self.fields[name].ragged:
            raise UserError(f"{name!r} is ragged: read it clip by clip with `rows`")
        return np.asarray(self._array(name)[...])

    def rows(self, partition: int, names: Sequence[str] | None = None) -> Iterator[ClipResult]:
        """The results of a committed partition, as they were written, cut to their lengths."""
        commit = self.commit(partition)
        if commit is None:
            raise UserError(f"{self.folder.url}: partition {partition} has no commit")
        columns = {
            name: self._column(name, partition, len(commit.rows)) for name in names or self.fields
        }
        for index, row in enumerate(commit.rows):
            values = {name: self._cut(name, columns[name][index], row.length) for name in columns}
            yield ClipResult(row.state, values, row.length, row.reason)

    def _column(self, name: str, partition: int, count: int) -> Sequence[np.ndarray]:
        rows = slice(partition * self.partition, partition * self.partition + count)
        if not self.fields[name].ragged:
            return list(np.asarray(self._array(name)[rows]))
        values = np.asarray(self._array(f"{name}/{_values_name(partition)}")[...])
        offsets = np.asarray(self._array(f"{name}/offsets")[rows])
        return [values[start:stop] for start, stop in offsets]

    def _cut(self, name: str, row: np.ndarray, length: int) -> np.ndarray:
        return row[:length] if self.fields[name].axes[:1] == ("step",) else row


def _encoding(dtype: str) -> dict[str, Any]:
    """Compressed, checked against bit rot; what was never written reads as NaN, not as zero."""
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


def _commit_name(partition: int) -> str:
    return f"{partition:05d}.json"


def _values_name(partition: int) -> str:
    return f"p{partition:05d}"
