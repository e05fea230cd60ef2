"""Whether a cache holds what was written: every file against the digest that vouches for it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.errors import DamagedError, UserError
from pipeline.io import lock
from pipeline.io.atomic_write import PARTIAL
from pipeline.io.folder import Folder
from pipeline.io.hashing import of_bytes
from pipeline.store.clips_table import FILE as CLIPS_FILE
from pipeline.store.clips_table import ClipsTable
from pipeline.store.commit import Commit
from pipeline.store.current import CURRENT_FILE, current, last_known
from pipeline.store.layout import METADATA, commit_file, store_url
from pipeline.store.previous import ENDING
from pipeline.store.store import Store

FLIPPED, GONE, FOREIGN = "is not what was written", "is gone", "does not belong here"
READERS = 8


@dataclass(frozen=True)
class Fault:
    """One file that is not as it should be.

    store: `<stage>/<fingerprint>.zarr`, empty for what all stages share. partition: the one that
    has to be made again, None where none has to. file: its path in the store, or in the cache.
    """

    store: str
    partition: int | None
    file: str
    what: str

    @property
    def stage(self) -> str:
        """The stage, empty for what all stages share."""
        return self.store.rpartition("/")[0]

    @property
    def where(self) -> str:
        """What a user calls it: stage, partition and file."""
        parts = [self.stage, "" if self.partition is None else f"partition {self.partition}"]
        return ", ".join([*filter(None, parts), f"{self.store}/{self.file}".lstrip("/")])


@dataclass(frozen=True)
class Report:
    """What was looked at and what is wrong with it."""

    cache_url: str
    partitions: int
    files: int
    size_bytes: int
    faults: tuple[Fault, ...]

    @property
    def lost(self) -> list[tuple[str, int]]:
        """Store and partition of all that has to be made again."""
        found = {
            (fault.store, fault.partition)
            for fault in self.faults
            if fault.partition is not None and not fault.store.endswith(ENDING)
        }
        return sorted(found)

    def to_json(self) -> dict[str, Any]:
        """The content of `smp verify --json`."""
        faults = [{"stage": fault.stage, **asdict(fault)} for fault in self.faults]
        counts = {"partitions": self.partitions, "files": self.files, "bytes": self.size_bytes}
        return {"cache": self.cache_url, **counts, "faults": faults}


def verify(cache_url: str, repair: bool = False) -> Report:
    """Read every file of the cache's stores and of what they share.

    repair: remove what is damaged and the commits that vouch for it, and what is foreign, so that
    the next extraction makes just those partitions again.

    Raises UserError where there is no cache, or where an extraction is running.
    """
    folder = Folder(cache_url)
    if not folder.has(CLIPS_FILE) and not _stores(folder):
        raise UserError(f"{cache_url}: no cache; give the folder cache/<dataset>")
    with ExitStack() as stack:
        with suppress(*() if repair else (OSError,)):  # a read-only cache changes under no one
            stack.enter_context(lock.held(folder))
        pool = stack.enter_context(ThreadPoolExecutor(READERS))
        looks = [_look(folder, name, pool) for name in _stores(folder)]
        faults = [*_shared_faults(folder), *(fault for look in looks for fault in look.faults)]
        for fault in faults if repair else ():
            _remove(folder, fault)
    sizes = [size for look in looks for size in look.sizes]
    partitions = sum(look.partitions for look in looks)
    return Report(folder.url, partitions, len(sizes), sum(sizes), tuple(faults))


def _stores(folder: Folder) -> list[str]:
    """All stores, `<stage>/<fingerprint>.zarr`: those in use and those of other settings."""
    known = last_known(folder)
    named = {store_url("", stage, known[stage]["fingerprint"])[1:] for stage in known}
    there = {
        f"{stage}/{name}"
        for stage in folder.names()
        for name in (folder / stage).names()
        if name.endswith(".zarr")
    }
    return sorted(named | there)


def _shared_faults(folder: Folder) -> Iterator[Fault]:
    for file, read in ((CLIPS_FILE, ClipsTable.read), (CURRENT_FILE, current)):
        try:
            read(folder)
        except DamagedError:
            yield Fault("", None, file, FLIPPED)
        else:
            if not folder.has(file):
                yield Fault("", None, file, GONE)


@dataclass(frozen=True)
class _Look:
    """What a look at one store found."""

    faults: list[Fault]
    partitions: int
    sizes: list[int]


def _look(cache: Folder, name: str, pool: ThreadPoolExecutor) -> _Look:
    store = Store(f"{cache.url}/{name}")
    commits, metadata = store.commits(), store.metadata_commit()
    if not commits and metadata is None:
        in_use = not store.folder.names()  # else a run died before its first commit
        return _Look([Fault(name, None, "zarr.json", GONE)] if in_use else [], 0, [])
    faults = [Fault(name, n, commit_file(n), c.damage) for n, c in commits.items() if c.damage]
    if metadata is None or metadata.damage:
        what = GONE if metadata is None else metadata.damage
        faults.append(Fault(name, None, METADATA, what))
    vouched = [
        (number, file, known)
        for number, commit in (*commits.items(), (None, metadata or Commit()))
        for file, known in commit.files.items()
    ]
    contents = list(pool.map(lambda entry: _read(store.folder, entry[1]), vouched))
    for (number, file, known), (size, found) in zip(vouched, contents, strict=True):
        if found != known:
            faults.append(Fault(name, number, file, GONE if size is None else FLIPPED))
    if all(fault.partition is not None for fault in faults):
        known_files = {*(file for _, file, _ in vouched), *(fault.file for fault in faults)}
        faults += [Fault(name, None, file, FOREIGN) for file in _foreign(store, known_files)]
    return _Look(faults, len(commits), [size for size, _ in contents if size is not None])


def _read(folder: Folder, file: str) -> tuple[int | None, str]:
    content = folder.read(file)
    return (None, "") if content is None else (len(content), of_bytes(content))


def _foreign(store: Store, vouched: set[str]) -> Iterator[str]:
    """The files that no commit knows, but for what a partition without one left half done."""
    commits = {n: c for n, c in store.commits().items() if not c.damage}
    for file in store.folder.files():
        if file in vouched or file == METADATA or PARTIAL.search(file):
            continue
        number = store.partition_of(file)
        is_commit = number is not None and file == commit_file(number)
        if number is None or (number in commits and not is_commit):
            yield file


def _remove(folder: Folder, fault: Fault) -> None:
    """Take the commit away first, then the file, so that nothing vouches for what is not there."""
    below = f"{fault.store}/" if fault.store else ""
    if fault.partition is not None:
        folder.remove(below + commit_file(fault.partition))
    folder.remove(below + fault.file)
