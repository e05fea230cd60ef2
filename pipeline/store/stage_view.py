"""One stage of a cache as arrays, in the order of the dataset's clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pipeline.errors import ChangedError, DamagedError, UnfinishedError
from pipeline.io.folder import Folder
from pipeline.stage.result import OK, ClipResult
from pipeline.store.clips_table import ClipsTable
from pipeline.store.commit import Commit, RowState
from pipeline.store.layout import store_url
from pipeline.store.patience import patiently
from pipeline.weights.random_weights import random_among

if TYPE_CHECKING:
    from pipeline.store.store import Store

Read = TypeVar("Read")


def _is_by_word(identity: Mapping[str, Any]) -> bool:
    upstream = identity.get("upstream", {}).values()
    return identity.get("settings", {}).get("sampling") == "words" or any(
        map(_is_by_word, upstream)
    )


class StageView:
    """One stage's features; every array's first axis is the clips, in the order of the table."""

    def __init__(
        self,
        cache_url: str,
        name: str,
        identity: Mapping[str, Any],
        table: ClipsTable,
        stored: ClipsTable,
    ) -> None:
        """stored: the cache's own table, of which `table` is made."""
        self.name = name
        self.identity = identity
        self.fingerprint: str = identity["fingerprint"]
        self.url = store_url(cache_url, name, self.fingerprint)
        self._reads = identity["reads"]
        self._cache = Folder(cache_url)
        self._table, self._stored = table, stored

    @property
    def random_weights(self) -> list[str]:
        """The stages with random weights on which the features rest: this one, what it needs."""
        return random_among(self.name, self.identity)

    @property
    def by_word(self) -> bool:
        """Whether a step is a word of the clip, by its own setting or that of what it needs."""
        return _is_by_word(self.identity)

    @cached_property
    def store(self) -> Store:
        """The store behind the view."""
        # zarr is imported only where arrays are read.
        from pipeline.store.store import Store

        store = Store(self.url)
        patiently(self._cache, lambda: store.group)
        return store

    @cached_property
    def previous_store(self) -> Store:
        """What is kept of features that `smp extract --keep-previous` replaced, if anything is."""
        from pipeline.store.previous import previous_url
        from pipeline.store.store import Store

        return Store(previous_url(self.url))

    def previous(self) -> dict[str, ClipResult]:
        """By clip id, the kept features of clips that have changed since."""
        from pipeline.store.previous import replaced

        came_as = zip(self._table.column("known_as"), self._table.ids, strict=True)
        ids = {old or id: id for old, id in came_as}
        kept = replaced(self.previous_store, set(self._table.keys(self._reads)))
        return {ids[came_as]: result for came_as, result in kept}

    @property
    def attributes(self) -> dict[str, Any]:
        """Provenance: settings, extractor version, weights, library versions, upstream."""
        return self.store.attributes

    @cached_property
    def commits(self) -> dict[int, Commit]:
        """The store's commits by partition, damaged ones among them."""
        return self.store.commits()

    @cached_property
    def committed(self) -> dict[int, RowState]:
        """By row number, the states of the present clips whose committed content is today's."""
        size, removed = self.store.partition, self._table.column("removed")
        keys = self._table.keys(self._reads)
        return {
            number: row
            for partition, commit in sorted(self.commits.items())
            for number, row in enumerate(
                commit.rows[: len(keys) - partition * size], partition * size
            )
            if row.key == keys[number] and not removed[number]
        }

    def _states(self) -> list[RowState]:
        return patiently(self._cache, self._states_now)

    def _states_now(self) -> list[RowState]:
        for number in self._table.present:
            if number not in self.committed:
                partition, commits = number // self.store.partition, self.commits
                del self.commits, self.committed  # to be read anew
                if partition in commits and commits[partition].damage:
                    raise self.store.damaged(commits[partition].damage, partition)
                if ClipsTable.read(self._cache) != self._stored:
                    raise self._changed()
                id = self._table.ids[number]
                done = "imported" if self._table.imported else "extracted"
                raise UnfinishedError(
                    f"stage {self.name!r}: clip {id!r} is not {done} yet; "
                    f"run `{self._table.command}`"
                )
        return list(self.committed.values())

    def _changed(self) -> ChangedError:
        return ChangedError(
            f"stage {self.name!r}: clips were extracted again while they were read; run this again"
        )

    def _of_its_commits(self, read: Callable[[], Read]) -> Read:
        """What `read` gives of the data that the view's commits vouch for.

        Raises ChangedError where a run wrote others meanwhile, DamagedError where none did.
        """
        try:
            return read()
        except DamagedError:
            store = self.store
            if (store.commits(), store.metadata_commit()) != (self.commits, store.metadata):
                raise self._changed() from None
        return read()  # a run may have written the same again

    @cached_property
    def lengths(self) -> np.ndarray:
        """How many of the steps are real, int64 [clips]; 0 where the clip has no features."""
        lengths = np.array([state.length for state in self._states()], np.int64)
        rows, commits = self._table.present, self.commits
        self._of_its_commits(lambda: self.store.require_lengths(lengths, rows, commits))
        return lengths

    @cached_property
    def states(self) -> np.ndarray:
        """The state of each clip, [clips]: "ok", "missing" or "failed"."""
        return np.array([state.state for state in self._states()], dtype=str)

    @cached_property
    def reasons(self) -> list[str]:
        """Why a clip has no features, or a note; empty otherwise."""
        return [state.reason for state in self._states()]

    @cached_property
    def doubts(self) -> list[str]:
        """Why a clip's features may mislead, poor as their input was; empty otherwise."""
        return [state.doubt for state in self._states()]

    @cached_property
    def stale(self) -> list[str]:
        """Why a clip's features stand on files that are gone; empty where they don't."""
        why = self._table.why_stale(self._reads)
        of_ok = zip(self._table.present, self._states(), strict=True)
        return [why.get(number, "") if state.state == OK else "" for number, state in of_ok]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what `read` gives by default: `(clips, steps, width)`, say."""
        field = next(iter(self.store.fields.values()))
        return (len(self._table.present), *field.shape(self.store.steps))

    @property
    def width(self) -> int | None:
        """How many values a step has; None where the first field is no feature of each step."""
        return next(iter(self.store.fields.values())).width

    def read(self, field: str | None = None, out: np.ndarray | None = None) -> np.ndarray:
        """A field of all clips, by default the first: `[clips, steps, width]` float32, say.

        Zero where padded and where a clip has no features. out: where to put them, an array of
        that shape or a view of one. Raises UserError where clips were not extracted yet.
        """
        self._states()
        rows, store, commits = self._table.present, self.store, self.commits
        if rows == list(range(store.clips)):
            return self._of_its_commits(lambda: store.read(field, out, commits))
        found = self._of_its_commits(lambda: store.read(field, None, commits))
        return np.take(found, rows, axis=0, out=out)

    def rows(self, partition: int, names: Sequence[str] | None = None) -> list[ClipResult]:
        """The results of one of the view's `commits`, cut to their lengths; names: of the fields.

        Raises DamagedError as `read` does.
        """
        commit = self.commits.get(partition)
        return self._of_its_commits(lambda: list(self.store.rows(partition, names, commit)))

    def row(self, number: int, names: Sequence[str] | None = None) -> ClipResult:
        """One `committed` row's result, as `rows` gives it."""
        commit = self.commits.get(number // self.store.partition)
        return self._of_its_commits(lambda: self.store.row(number, names, commit))
