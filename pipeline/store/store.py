"""What one stage wrote at one fingerprint: its partitions, written and read with their commits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from zarr.buffer.cpu import NDBuffer

from pipeline.errors import UserError
from pipeline.messages import one_line
from pipeline.stage.field import Field
from pipeline.stage.result import OK, ClipResult
from pipeline.stage.steps import pad
from pipeline.store import chunks, layout
from pipeline.store.arrays import Arrays
from pipeline.store.commit import Commit, RowState
from pipeline.store.layout import COMMITS, LENGTHS, commit_file

RAGGED_CHUNK_BYTES = 4 << 20
OTHER_LENGTHS = "its lengths are not those of its commits"


class Store(Arrays):
    """The arrays of a stage, and the commits of what is in them.

    One writer a partition; a partition counts only once its commit is there, and the commit goes
    before the data is touched again. A commit lists the digest of every file that it vouches for.
    """

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
