"""The read side: a dataset's cached features as arrays, in the order of its clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pipeline.dataset.clip import CLASS, MEDIA, SCORE
from pipeline.dataset.layouts import name_of
from pipeline.dataset.target import Target
from pipeline.errors import ChangedError, DamagedError, UnfinishedError, UserError
from pipeline.io.folder import Folder
from pipeline.io.hashing import sealed, unsealed
from pipeline.io.names import is_safe_name
from pipeline.stage.result import OK, ClipResult
from pipeline.store.clips_table import ClipsTable
from pipeline.store.commit import Commit, RowState
from pipeline.store.patience import patiently
from pipeline.weights.random_weights import random_among

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.store.store import Store

CURRENT_FILE = "current.json"
IDENTITY: dict[str, type | tuple[type, ...]] = {
    "extractor": str, "version": int, "settings": dict, "needs": dict, "partition": int,
    "steps": (int, NoneType), "upstream": dict, "weights": (str, NoneType),
    "weights_id": (str, NoneType),
}  # fmt: skip
ATTEMPTS = 3  # at reading a cache that runs go on changing
Read = TypeVar("Read")


def locate(dataset: str | Path, cache_root: str = "cache", name: str | None = None) -> str:
    """The URL of a dataset's cache, from its folder, its manifest, its name or the cache itself."""
    if Folder(str(dataset)).has(CURRENT_FILE):
        return str(dataset)
    return f"{cache_root.rstrip('/')}/{name or name_of(dataset)}"


def store_url(cache_url: str, stage: str, fingerprint: str) -> str:
    """Where a stage's store at a fingerprint lies: different settings live side by side.

    Raises UserError for what can't be a folder's name: no store lies elsewhere than in its cache.
    """
    for name in (stage, fingerprint):
        if not is_safe_name(name):
            raise UserError(f"{name!a:.60} can't be the name of a folder in {cache_url}")
    return f"{cache_url}/{stage}/{fingerprint[:8]}.zarr"


def cache_of(store_url: str) -> str:
    """The URL of the cache in which a store lies."""
    return store_url.rsplit("/", 2)[0]


def current(folder: Folder) -> dict[str, dict[str, Any]]:
    """The identity of every stage as last extracted, by name."""
    content, where = folder.read(CURRENT_FILE), f"{folder.url}/{CURRENT_FILE}"
    try:
        return _identities(unsealed(content)) if content is not None else {}
    except ValueError as error:
        raise DamagedError(f"{where} is damaged ({error}); `smp extract` makes it again") from None


def _identities(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Those found; ValueError where one is none, or would lie elsewhere than in its cache."""
    for stage, identity in found.items():
        told = identity if isinstance(identity, dict) else {}
        is_whole = (
            all(map(is_safe_name, (stage, told.get("fingerprint"))))
            and isinstance(told.get("reads"), list)
            and all(isinstance(told[part], kind) for part, kind in IDENTITY.items() if part in told)
            and all(isinstance(other, dict) for other in told.get("upstream", {}).values())
            and all(isinstance(other, str) for other in told.get("needs", {}).values())
        )
        if not is_whole:
            raise ValueError(f"{stage!a:.60} is no stage")
    return found


def last_known(folder: Folder) -> dict[str, dict[str, Any]]:
    """`current`, or nothing where its file is damaged: the next extraction makes it again."""
    try:
        return current(folder)
    except DamagedError:
        return {}


def set_current(folder: Folder, identities: Mapping[str, Mapping[str, Any]]) -> None:
    """Have readers find these stages, and no other."""
    content = sealed(identities, indent=1)
    if folder.read(CURRENT_FILE) != content:
        folder.write(CURRENT_FILE, content)


def open_cache(url: str | Path) -> Cache:
    """Open a dataset's cache, `cache/<dataset>`, as it is now; open it again after an extraction.

    Raises UnfinishedError where nothing was extracted.
    """
    return Cache(str(url))


class Cache(Mapping[str, "StageView"]):
    """A dataset's stages by name, as last extracted, and its clips."""

    def __init__(self, url: str, table: ClipsTable | None = None) -> None:
        """table: its own, where that was read already."""
        self.url = url.rstrip("/")
        self._as_now: Callable[[ClipsTable], ClipsTable] = lambda table: table
        self._open(table)

    def follow(self, as_now: Callable[[ClipsTable], ClipsTable]) -> None:
        """Read by the table that `as_now` makes of the cache's own, now and when opened anew."""
        self._as_now = as_now
        self._take(self._stored)

    def _open(self, table: ClipsTable | None = None) -> None:
        folder = Folder(self.url)
        table = table or ClipsTable.read(folder)
        if table is None:
            raise UnfinishedError(
                f"{self.url}: nothing extracted yet; run `smp extract` or `smp import` first"
            )
        self.identities = current(folder)
        self._take(table)

    def _take(self, stored: ClipsTable) -> None:
        self._stored, self.table = stored, self._as_now(stored)
        self._views: dict[str, StageView] = {}
        self.__dict__.pop("clips", None)

    def steadily(self, read: Callable[[], Read]) -> Read:
        """What `read` gives of this cache, which is opened anew where a run changed it meanwhile.

        Raises ChangedError where runs go on changing it.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                return read()
            except ChangedError:
                self._open()
        return read()

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.table.name

    @property
    def stages(self) -> list[str]:
        """The names of the stages that have a store."""
        return list(self.identities)

    @property
    def command(self) -> str:
        """What makes the features, and makes them again where they are lost."""
        return self.table.command

    @property
    def targets(self) -> tuple[Target, ...]:
        """What can be predicted of its clips, the default first."""
        return self.table.targets

    @property
    def imported_from(self) -> str | None:
        """The file or folder of another tool whose features these are, if any."""
        return self.table.root if self.table.imported else None

    @property
    def modalities(self) -> dict[str, str]:
        """By stage, the modality that an imported feature is of: `visual`, `audio` or `text`."""
        if not self.table.imported:
            return {}
        return {name: one["settings"]["modality"] for name, one in self.identities.items()}

    @cached_property
    def clips(self) -> pd.DataFrame:
        """The clips, in the order of every array that is read: id, text, label, split, stale, …

        Further true values are in `label_…` (NaN where missing) and `class_…` ("" where missing).
        `stale` says which of a clip's files can't be read any more; it is empty where all can.
        """
        # pandas takes a second to import, and only a table needs it.
        import pandas as pd

        clips = [self.table.rows[i].clip for i in self.table.present]
        # As objects: with pyarrow installed, pandas' own strings refuse lone surrogates.
        columns = {n: pd.Series([getattr(c, n) for c in clips], dtype=object) for n in _COLUMNS}
        values = [dict(clip.values()) for clip in clips]
        scores = {c: [own.get(c, np.nan) for own in values] for c in _columns(values, SCORE)}
        named = {c: [own.get(c, "") for own in values] for c in _columns(values, CLASS)}
        classes = {c: pd.Series(names, dtype=object) for c, names in named.items()}
        why = self.table.why_stale(MEDIA)
        stale = pd.Series([why.get(i, "") for i in self.table.present], dtype=object)
        table = pd.DataFrame({**columns, "stale": stale, **scores, **classes})
        return table.astype({"label": "float64"})

    def __getitem__(self, stage: str) -> StageView:
        if stage not in self.identities:
            known = ", ".join(self.identities) or "none"
            raise UserError(f"{self.url}: no stage {stage!r}; extracted: {known}")
        if stage not in self._views:
            self._views[stage] = self.view(stage, self.identities[stage])
        return self._views[stage]

    def view(self, stage: str, identity: Mapping[str, Any]) -> StageView:
        """A stage as it was extracted under that identity, the last one or another."""
        return StageView(self.url, stage, identity, self.table, self._stored)

    def __iter__(self) -> Iterator[str]:
        return iter(self.identities)

    def __len__(self) -> int:
        return len(self.identities)

    def __contains__(self, stage: object) -> bool:
        return stage in self.identities


_COLUMNS = ("id", "text", "label", "split", "annotation", "video", "audio")


def _columns(values: Sequence[Mapping[str, object]], prefix: str) -> list[str]:
    return sorted({column for own in values for column in own if column.startswith(prefix)})


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
