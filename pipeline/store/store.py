"""What one stage wrote at one fingerprint: a zarr v3 group, the one place that writes zarr."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from zarr.abc.buffer import Buffer
from zarr.abc.store import Store as ZarrStore
from zarr.buffer.cpu import NDBuffer
from zarr.storage import FsspecStore, LocalStore, WrapperStore

from pipeline.errors import DamagedError, UserError
from pipeline.io import hashing
from pipeline.io.atomic_write import make_folder, sync
from pipeline.io.folder import Folder, storage_options
from pipeline.stage.field import Field
from pipeline.stage.result import OK, ClipResult
from pipeline.stage.steps import pad
from pipeline.store import chunks, layout
from pipeline.store.commit import Commit, RowState
from pipeline.store.layout import COMMITS, LENGTHS, METADATA, commit_file

CHUNK_BYTES = 16 << 20
RAGGED_CHUNK_BYTES = 4 << 20
FORMAT = 2
OTHER_LENGTHS = "its lengths are not those of its commits"


class Store:
    """`[clips, …]` arrays in chunks of whole partitions or a divisor of one, and their commits.

    One writer a partition; a partition counts only once its commit is there, and the commit goes
    before the data is touched again. A commit lists the digest of every file that it vouches for;
    zarr's own metadata has a commit of its own. A ragged field is a group of one `values` array a
    partition beside `offsets` [clips, 2], the start and stop of each clip in those values.
    """

    def __init__(self, url: str) -> None:
        self.folder = Folder(url)
        self._arrays: dict[str, zarr.Array[Any]] = {}  # opened so far

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
        """Make the store, or grow the one that is there to `clips` rows and repair its metadata."""
        store = cls(url)
        files = layout.metadata_files(fields)
        damaged = store._damaged_metadata(files)
        if not damaged and store.clips >= clips:
            return store
        store.folder.remove(METADATA)
        for name in damaged:
            store.folder.remove(name)
        if store.folder.path is not None:
            make_folder(store.folder.path)
        if not store.folder.has("zarr.json"):
            declared = {
                name: {"axes": f.axes, "dtype": f.dtype, "unit": f.unit, "ragged": f.ragged}
                for name, f in fields.items()
            }
            attributes = {"format": FORMAT, "steps": steps, "partition": partition}
            zarr.create_group(
                store._zarr, attributes={**attributes, "fields": declared, **provenance}
            )
        for name, field in layout.arrays(store.fields).items():
            store._fit(name, field, clips)
        store._sync(files)
        found = {name: hashing.of_bytes(store.folder.read(name) or b"") for name in files}
        store.folder.write(METADATA, Commit(files=found).to_bytes())
        return store

    def _damaged_metadata(self, files: Sequence[str]) -> Sequence[str]:
        """Those of zarr's own files that are not what was written.

        All are suspected where a run died while it made or grew the store.
        """
        commit = self.metadata_commit()
        if commit is None or commit.damage:
            return files
        contents = {name: self.folder.read(name) for name in commit.files}
        return [
            name
            for name, content in contents.items()
            if content is None or hashing.of_bytes(content) != commit.files[name]
        ]

    @cached_property
    def group(self) -> zarr.Group:
        """The zarr group; UserError where there is none."""
        try:
            if not self.folder.has("zarr.json"):  # zarr would make the folder that it looks in
                raise FileNotFoundError
            return zarr.open_group(self._zarr, mode="r+", zarr_format=3)
        except FileNotFoundError:
            raise UserError(f"{self.folder.url}: no store; run `smp extract` first") from None
        except (ValueError, TypeError, KeyError) as error:
            raise self._damaged(f"zarr.json: {error}") from None

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
        return int(self._array(LENGTHS).shape[0])

    @cached_property
    def _zarr(self) -> _Noted:
        if self.folder.path is not None:
            return _Noted(LocalStore(self.folder.path))
        return _Noted(FsspecStore.from_url(self.folder.url, storage_options(self.folder.url)))

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self._arrays:
            array = self.group[name]
            assert isinstance(array, zarr.Array)
            self._arrays[name] = array
        return self._arrays[name]

    def _fit(self, name: str, field: Field, clips: int) -> None:
        """Create an array, or lengthen it where it is too short. Rows never go away."""
        group = name.rpartition("/")[0]
        if group and group not in self.group:  # made here: zarr makes it in no certain order
            self.group.create_group(group)
        if name not in self.group:
            shape = field.shape(self.steps)
            self.group.create_array(
                name,
                shape=(clips, *shape),
                chunks=(self._rows_a_chunk(field), *shape),
                dimension_names=("clip", *(a if isinstance(a, str) else None for a in field.axes)),
                **chunks.encoding(field.dtype),
            )
        elif self._array(name).shape[0] < clips:
            array = self._array(name)
            array.resize((clips, *array.shape[1:]))

    def _rows_a_chunk(self, field: Field) -> int:
        divisors = (n for n in range(self.partition, 0, -1) if self.partition % n == 0)
        row_bytes = field.nbytes(self.steps)
        return next((rows for rows in divisors if rows * row_bytes <= CHUNK_BYTES), 1)

    # ---- writing ---------------------------------------------------------------------------

    def write(self, partition: int, keys: Sequence[str], results: Sequence[ClipResult]) -> Commit:
        """Write a partition's rows and then its commit, one result a key, in row order."""
        self.folder.remove(commit_file(partition))
        self._zarr.digests.clear()
        rows = slice(partition * self.partition, partition * self.partition + len(results))
        self._write_rows(LENGTHS, rows, np.array([result.length for result in results], np.int32))
        for name, field in self.fields.items():
            values = [self._row(name, field, result) for result in results]
            if field.ragged:
                self._write_ragged(name, partition, rows, values)
            else:
                self._write_rows(name, rows, np.stack(values))
        self._sync(self._zarr.digests)
        states = (
            RowState(key, result.state, result.length, result.reason, result.doubt)
            for key, result in zip(keys, results, strict=True)
        )
        commit = Commit(tuple(states), dict(self._zarr.digests))
        self.folder.write(commit_file(partition), commit.to_bytes())
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
            layout.values(name, partition),
            shape=joined.shape,
            chunks=(chunk, *joined.shape[1:]),
            overwrite=True,
            **chunks.encoding(joined.dtype.str),
        )[...] = joined
        self._write_rows(layout.offsets(name), rows, np.stack([starts, stops], axis=1))

    def _sync(self, files: Iterable[str]) -> None:
        """Have local files and the folders above on disk before a commit vouches for them."""
        root = self.folder.path
        if root is None:
            return
        paths = [root / name for name in files]
        folders = {folder for path in paths for folder in path.parents} - {*root.parents}
        for path in [*paths, *folders]:
            sync(path)

    # ---- reading ---------------------------------------------------------------------------

    def commit(self, partition: int) -> Commit | None:
        """The partition's commit, None where the partition has to be done."""
        return self._commit(commit_file(partition))

    def commits(self) -> dict[int, Commit]:
        """Every committed partition, damaged commits among them."""
        found = (self.folder / COMMITS).read_all(".json")
        return {
            int(number[1]): Commit.from_bytes(content)
            for name, content in found.items()
            if (number := layout.COMMIT.fullmatch(name))
        }

    def metadata_commit(self) -> Commit | None:
        """What vouches for zarr's own metadata; None while a run makes or grows the store."""
        return self._commit(METADATA)

    def _commit(self, file: str) -> Commit | None:
        content = self.folder.read(file)
        return None if content is None else Commit.from_bytes(content)

    def partition_of(self, file: str) -> int | None:
        """The partition to which a file belongs by its path, None where it belongs to none."""
        number = self._number(file)
        return number if number is not None and number * self.partition < self.clips else None

    def _number(self, file: str) -> int | None:
        if found := layout.COMMIT.fullmatch(file.removeprefix(f"{COMMITS}/")):
            return int(found[1])
        if (found := layout.VALUES.fullmatch(file)) and found[1] in self.fields:
            return int(found[2])
        if (found := layout.CHUNK.fullmatch(file)) and found[1] in layout.arrays(self.fields):
            return int(found[2]) * self._array(found[1]).chunks[0] // self.partition
        return None

    def read(self, name: str | None = None, out: np.ndarray | None = None) -> np.ndarray:
        """All rows of a field, `[clips, …]`, committed or not; a ragged field is read by clip.

        out: where to put them, an array of that shape and dtype or a view of one.
        Raises DamagedError where a committed chunk is gone or is not what was written.
        """
        name = name or next(iter(self.fields))
        if self.fields[name].ragged:
            raise UserError(f"{name!r} is ragged: read it clip by clip with `rows`")
        there = set(self.folder.files())
        for partition, commit in self.commits().items():
            self._require(partition, [file for file in commit.files if file not in there])
        return self._read(name, out)

    def require_lengths(self, lengths: np.ndarray, rows: Sequence[int]) -> None:
        """Raise DamagedError unless `rows` are stored as so long: what the commits say of them."""
        if (self._read(LENGTHS)[list(rows)] != lengths).any():
            raise self._damaged(OTHER_LENGTHS)

    def _read(self, name: str, out: np.ndarray | None = None) -> np.ndarray:
        array, path = self._array(name), self.folder.path
        out = np.empty(array.shape, array.dtype) if out is None else out
        try:
            if path is not None and chunks.is_readable(array):
                chunks.read(array, path / name, out)
            else:
                array.get_basic_selection(..., out=NDBuffer.from_numpy_array(out))
        except (ValueError, RuntimeError) as error:
            raise self._damaged(str(error)) from None
        return out

    def rows(self, partition: int, names: Sequence[str] | None = None) -> Iterator[ClipResult]:
        """The results of a committed partition, as they were written, cut to their lengths.

        Raises DamagedError where a chunk is gone or is not what was written.
        """
        states = self._vouched(partition).rows
        yield from self._results(partition * self.partition, states, names)

    def row(self, number: int, names: Sequence[str] | None = None) -> ClipResult:
        """One row's result, as `rows` gives it; no more than its own chunks are read."""
        partition, index = divmod(number, self.partition)
        states = self._vouched(partition).rows[index : index + 1]
        return next(self._results(number, states, names))

    def _vouched(self, partition: int) -> Commit:
        """The partition's commit, whose files are all there."""
        commit = self.commit(partition)
        if commit is None or commit.damage:
            what = "no commit" if commit is None else commit.damage
            raise UserError(f"{self.folder.url}, partition {partition}: {what}; run it again")
        self._require(partition, [file for file in commit.files if not self.folder.has(file)])
        return commit

    def _results(
        self, start: int, states: Sequence[RowState], names: Sequence[str] | None
    ) -> Iterator[ClipResult]:
        """The results of rows of one partition, from `start` on, in these states."""
        rows, partition = slice(start, start + len(states)), start // self.partition
        try:
            columns = {name: self._column(name, rows) for name in names or self.fields}
            lengths = np.asarray(self._array(LENGTHS)[rows]).tolist()
        except (ValueError, RuntimeError, KeyError) as error:
            raise self._damaged(str(error), partition) from None
        if lengths != [state.length for state in states]:
            raise self._damaged(OTHER_LENGTHS, partition)
        for index, row in enumerate(states):
            values = {name: self._cut(name, columns[name][index], row.length) for name in columns}
            yield ClipResult(row.state, values, row.length, row.reason, row.doubt)

    def _require(self, partition: int, gone: Sequence[str]) -> None:
        """Refuse what zarr would read as never written."""
        if gone:
            raise self._damaged(f"{gone[0]} is gone", partition)

    def _damaged(self, what: str, partition: int | None = None) -> DamagedError:
        where = self.folder.url + ("" if partition is None else f", partition {partition}")
        cache = self.folder.url.rsplit("/", 2)[0]
        return DamagedError(f"{where} is damaged ({what}); run `smp verify {cache} --repair`")

    def _column(self, name: str, rows: slice) -> Sequence[np.ndarray]:
        if not self.fields[name].ragged:
            return list(np.asarray(self._array(name)[rows]))
        offsets = np.asarray(self._array(layout.offsets(name))[rows])
        first, last = offsets.min(), offsets.max()
        stored = self._array(layout.values(name, rows.start // self.partition))
        values = np.asarray(stored[first:last])
        return [values[start - first : stop - first] for start, stop in offsets]

    def _cut(self, name: str, row: np.ndarray, length: int) -> np.ndarray:
        return row[:length] if self.fields[name].axes[:1] == ("step",) else row


class _Noted(WrapperStore[ZarrStore]):
    """A zarr store that notes the SHA-256 of what is written to it, by path."""

    def __init__(self, store: ZarrStore) -> None:
        super().__init__(store)
        self.digests: dict[str, str] = {}

    async def set(self, key: str, value: Buffer) -> None:
        await super().set(key, value)
        self.digests[key] = hashing.of_bytes(memoryview(value.as_buffer_like()))
