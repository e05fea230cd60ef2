"""One earlier generation of partitions, in a store of its own: features that a change replaced.

It lies beside their store, and no reader is led there. A clip that is again what it was takes its
row from it, since rows are found by what the clip holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pipeline.errors import DamagedError
from pipeline.stage.result import OK, ClipResult
from pipeline.store.commit import Commit
from pipeline.store.store import Store

ENDING = ".previous.zarr"


def previous_url(store_url: str) -> str:
    """Where what a store at `store_url` held before is kept."""
    return store_url.removesuffix(".zarr") + ENDING


def loses(commit: Commit | None, keys: Collection[str]) -> bool:
    """Whether features of the commit are of none of `keys`: gone once these are written."""
    rows = commit.rows if commit else ()
    return any(row.state == OK and row.key not in keys for row in rows)


def keep(store: Store, previous: Store, partition: int, keys: Collection[str]) -> None:
    """Keep a partition as it is in the place of what was kept, where writing `keys` loses of it.

    What can't be read back is not kept: nobody could look at it.
    """
    commit = store.commit(partition)
    if commit and loses(commit, keys):
        try:
            results = list(store.rows(partition, commit=commit))
        except DamagedError:
            return
        previous.write(partition, commit.keys, results)


def replaced(previous: Store, keys: Collection[str]) -> Iterator[tuple[str, ClipResult]]:
    """Of all that is kept and is of none of `keys`: the id as which the clip came, the features."""
    for partition, commit in sorted(previous.commits().items()):
        if loses(commit, keys):
            for key, result in zip(commit.keys, previous.rows(partition), strict=True):
                if result.state == OK and key not in keys:
                    yield key.rpartition("@")[0], result
