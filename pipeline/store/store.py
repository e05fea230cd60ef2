"""What one stage wrote at one fingerprint: a zarr v3 group, the one place that writes zarr."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from zarr.buffer.cpu import NDBuffer
from zarr.storage import FsspecStore, LocalStore

from pipeline.errors import DamagedError, UnfinishedError, UserError
from pipeline.io import hashing
from pipeline.io.atomic_write import make_folder, sync
from pipeline.io.folder import Folder, storage_options
from pipeline.messages import one_line
from pipeline.stage.field import Field
from pipeline.stage.result import OK, ClipResult
from pipeline.stage.steps import pad
from pipeline.store import chunks, layout
from pipeline.store.commit import Commit, RowState
from pipeline.store.layout import COMMITS, LENGTHS, METADATA, commit_file
from pipeline.store.vouched import GONE, VouchedStore

CHUNK_BYTES = 16 << 20
RAGGED_CHUNK_BYTES = 4 << 20
FORMAT = 2
MOST = 2**31  # clips, steps
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
        self.metadata: Commit | None = None  # vouches for the arrays, once they are opened
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
        store.metadata = None
        store._trust({})  # nothing vouches for what is being made
        if not store.folder.has("zarr.json"):
            declared = {
                name: {"axes": f.axes, "dtype": f.dtype, "unit": f.unit, "ragged": f.ragged}
                for name, f in fields.items()
            }
            attributes = {"format": FORMAT, "steps": steps, "partition": partition}
            zarr.create_group(
                store._zarr, attributes={**attributes, "fields": declared, **provenance}
            )
        store.group = store._open()
        for name, field in layout.arrays(store.fields).items():
            store._fit(name, field, clips)
        store._sync(files)
        found = {name: hashing.of_bytes(store.folder.read(name) or b"") for name in files}
        store.metadata = Commit(files=found)
        store.folder.write(METADATA, store.metadata.to_bytes())
        return store

    def tell(self, more: Mapping[str, Any]) -> None:
        """Add to what the store says of itself, its provenance."""
        commit = self.metadata_commit()
        if commit is None or more.items() <= dict(self.group.attrs).items():
            return
        self.folder.remove(METADATA)
        self._trust({})
        self.group.update_attributes(dict(more))
        self._sync(["zarr.json"])
        digest = hashing.of_bytes(self.folder.read("zarr.json") or b"")
        self.metadata = Commit(files={**commit.files, "zarr.json": digest})
        self.folder.write(METADATA, self.metadata.to_bytes())

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
        """The zarr group; UserError where there is none, or not the one that was made."""
        self._zarr.known = {}
        self.metadata = self.metadata_commit()
        if self.metadata is None:
            if not self.folder.names():
                raise UserError(f"{self.folder.url}: no store; run `smp extract` first")
            raise UnfinishedError(
                f"{self.folder.url}: {METADATA} {GONE}, or not written yet; run `smp extract` again"
            )
        if self.metadata.damage:
            raise self.damaged(f"{METADATA}: {self.metadata.damage}")
        self._trust({})
        return self._open()

    def _open(self) -> zarr.Group:
        try:
            return zarr.open_group(self._zarr, mode="r+", zarr_format=3)
        except (ValueError, TypeError, KeyError, FileNotFoundError) as error:
            raise self.damaged(f"zarr.json: {one_line(error)}") from None

    def _trust(self, commits: Mapping[int, Commit]) -> None:
        """Let nothing be read but what these commits, and that of the metadata, vouch for."""
        vouching: list[tuple[int | None, Commit]] = [*commits.items()]
        vouching.append((None, self.metadata or Commit()))
        self._zarr.known = {
            file: (partition, commit) for partition, commit in vouching for file in commit.files
        }

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Shape and provenance: settings, versions, weights, upstream fingerprints."""
        found = dict(self.group.attrs)
        for name in ("steps", "partition"):
            count = found.get(name)
            if type(count) is not int or not 0 < count < MOST:
                raise self.damaged(f"zarr.json: {name} is {count!r:.40}")
        return found

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The declared fields; the first is the one that is read by default."""
        try:
            found = {
                name: Field(tuple(f["axes"]), f["dtype"], f["unit"], f["ragged"])
                for name, f in self.attributes["fields"].items()
            }
            sizes = [0 < field.nbytes(self.steps) < MOST for field in found.values()]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self.damaged(f"zarr.json: fields: {one_line(error)}") from None
        if not sizes or not all(sizes):
            raise self.damaged("zarr.json: fields: none, or of no size")
        return found

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
    def _zarr(self) -> VouchedStore:
        if self.folder.path is not None:
            return VouchedStore(LocalStore(self.folder.path), self.damaged)
        store = FsspecStore.from_url(self.folder.url, storage_options(self.folder.url))
        return VouchedStore(store, self.damaged)

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self._arrays:
            self._arrays[name] = self._opened(name)
        return self._arrays[name]

    def _opened(self, name: str) -> zarr.Array[Any]:
        array = self.group.get(name)
        if not isinstance(array, zarr.Array):
            raise self.damaged(f"{name} is no array")
        return array

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
        self._zarr.checksums.clear()
        self._trust({})
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
        commit = Commit(tuple(states), dict(self._zarr.digests), dict(self._zarr.checksums))
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

    def read(
        self,
        name: str | None = None,
        out: np.ndarray | None = None,
        commits: Mapping[int, Commit] | None = None,
    ) -> np.ndarray:
        """All rows of a field, `[clips, …]`, committed or not; a ragged field is read by clip.

        out: where to put them, an array of that shape and dtype or a view of one. commits: those
        whose data it has to be, by default those of now.
        Raises DamagedError where a committed chunk is gone or is not what was written.
        """
        name = name or next(iter(self.fields))
        if self.fields[name].ragged:
            raise UserError(f"{name!r} is ragged: read it clip by clip with `rows`")
        self._trust(self.commits() if commits is None else commits)
        return self._read(name, out)

    def require_lengths(
        self,
        lengths: np.ndarray,
        rows: Sequence[int],
        commits: Mapping[int, Commit] | None = None,
    ) -> None:
        """Raise DamagedError unless `rows` are stored as so long: what the commits say of them."""
        self._trust(self.commits() if commits is None else commits)
        if (self._read(LENGTHS)[list(rows)] != lengths).any():
            raise self.damaged(OTHER_LENGTHS)

    def _read(
        self, name: str, out: np.ndarray | None = None, rows: slice | None = None
    ) -> np.ndarray:
        """All rows of an array, or those of one partition."""
        array, path, check = self._array(name), self.folder.path, self._zarr.check
        start, stop, _ = (rows or slice(None)).indices(array.shape[0])
        out = np.empty((stop - start, *array.shape[1:]), array.dtype) if out is None else out
        try:
            if path is not None and chunks.is_readable(array):
                chunks.read(
                    array,
                    path / name,
                    out,
                    lambda file, content: check(f"{name}/{file}", content),
                    start,
                )
            else:
                array.get_basic_selection(slice(start, stop), out=NDBuffer.from_numpy_array(out))
        except (ValueError, RuntimeError) as error:
            partition = rows.start // self.partition if rows else None
            raise self.damaged(one_line(error), partition) from None
        return out

    def rows(
        self, partition: int, names: Sequence[str] | None = None, commit: Commit | None = None
    ) -> Iterator[ClipResult]:
        """The results of a committed partition, as they were written, cut to their lengths.

        commit: that whose data it has to be, by default the one of now.
        Raises DamagedError where a chunk is gone or is not what was written.
        """
        commit = commit or self._vouching(partition)
        yield from self._results(partition * self.partition, commit, commit.rows, names)

    def row(
        self, number: int, names: Sequence[str] | None = None, commit: Commit | None = None
    ) -> ClipResult:
        """One row's result, as `rows` gives it; no more than its own chunks are read."""
        partition, index = divmod(number, self.partition)
        commit = commit or self._vouching(partition)
        return next(self._results(number, commit, commit.rows[index : index + 1], names))

    def _vouching(self, partition: int) -> Commit:
        """The partition's commit, which is not damaged."""
        commit = self.commit(partition)
        if commit is None or commit.damage:
            what = "no commit" if commit is None else commit.damage
            raise UserError(
                f"{self.folder.url}, partition {partition}: {what}; run `smp extract` again"
            )
        return commit

    def _results(
        self,
        start: int,
        commit: Commit,
        states: Sequence[RowState],
        names: Sequence[str] | None,
    ) -> Iterator[ClipResult]:
        """The results of rows of one partition, from `start` on, in these states of its commit."""
        rows, partition = slice(start, start + len(states)), start // self.partition
        self._trust({partition: commit})
        try:
            columns = {name: self._column(name, rows) for name in names or self.fields}
            lengths = self._read(LENGTHS, rows=rows).tolist()
        except (ValueError, RuntimeError, KeyError) as error:
            raise self.damaged(one_line(error), partition) from None
        if lengths != [state.length for state in states]:
            raise self.damaged(OTHER_LENGTHS, partition)
        for index, row in enumerate(states):
            values = {name: self._cut(name, columns[name][index], row.length) for name in columns}
            yield ClipResult(row.state, values, row.length, row.reason, row.doubt)

    def damaged(self, what: str, partition: int | None = None) -> DamagedError:
        """The error for what is wrong, with the way out."""
        where = self.folder.url + ("" if partition is None else f", partition {partition}")
        cache = layout.cache_of(self.folder.url)
        return DamagedError(f"{where} is damaged ({what}); run `smp verify {cache} --repair`")

    def _column(self, name: str, rows: slice) -> Sequence[np.ndarray]:
        if not self.fields[name].ragged:
            return list(self._read(name, rows=rows))
        offsets = self._read(layout.offsets(name), rows=rows)
        first, last = offsets.min(), offsets.max()
        # Opened each time: its length is another once the partition is written again.
        stored = self._opened(layout.values(name, rows.start // self.partition))
        values = np.asarray(stored[first:last])
        return [values[start - first : stop - first] for start, stop in offsets]

    def _cut(self, name: str, row: np.ndarray, length: int) -> np.ndarray:
        return row[:length] if self.fields[name].axes[:1] == ("step",) else row
