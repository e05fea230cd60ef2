"""The arrays of a store: a zarr v3 group, the one place that makes zarr and opens it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import zarr
from zarr.storage import FsspecStore, LocalStore

from pipeline.errors import DamagedError, UnfinishedError, UserError
from pipeline.io import hashing
from pipeline.io.atomic_write import make_folder, sync
from pipeline.io.folder import Folder, storage_options
from pipeline.messages import one_line
from pipeline.stage.field import Field
from pipeline.store import chunks, layout
from pipeline.store.commit import Commit
from pipeline.store.layout import LENGTHS, METADATA
from pipeline.store.vouched import GONE, VouchedStore

CHUNK_BYTES = 16 << 20
FORMAT = 2
MOST = 2**31  # clips, steps


class Arrays:
    """`[clips, …]` arrays in chunks of whole partitions or a divisor of one.

    zarr's own metadata has a commit. A ragged field is a group of one `values` array a partition
    beside `offsets` [clips, 2], the start and stop of each clip in those values.
    """

    def __init__(self, url: str) -> None:
        self.folder = Folder(url)
        self.metadata: Commit | None = None  # vouches for the arrays, once they are opened
        self._arrays: dict[str, zarr.Array[Any]] = {}  # opened so far

    @classmethod
    def create(
        cls,
        url: str,
        fields: Mapping[str, Field],
        steps: int,
        partition: int,
        clips: int,
        provenance: Mapping[str, Any],
    ) -> Self:
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

    def _sync(self, files: Iterable[str]) -> None:
        """Have local files and the folders above on disk before a commit vouches for them."""
        root = self.folder.path
        if root is None:
            return
        paths = [root / name for name in files]
        folders = {folder for path in paths for folder in path.parents} - {*root.parents}
        for path in [*paths, *folders]:
            sync(path)

    def metadata_commit(self) -> Commit | None:
        """What vouches for zarr's own metadata; None while a run makes or grows the store."""
        return self._commit(METADATA)

    def _commit(self, file: str) -> Commit | None:
        content = self.folder.read(file)
        return None if content is None else Commit.from_bytes(content)

    def damaged(self, what: str, partition: int | None = None) -> DamagedError:
        """The error for what is wrong, with the way out."""
        where = self.folder.url + ("" if partition is None else f", partition {partition}")
        cache = layout.cache_of(self.folder.url)
        return DamagedError(f"{where} is damaged ({what}); run `smp verify {cache} --repair`")
