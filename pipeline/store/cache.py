"""The read side: a dataset's cached features as arrays, in the order of its clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pipeline.dataset.clip import CLASS, MEDIA, SCORE
from pipeline.dataset.layouts import name_of
from pipeline.dataset.target import Target
from pipeline.errors import ChangedError, UnfinishedError, UserError
from pipeline.io.folder import Folder
from pipeline.store.clips_table import ClipsTable
from pipeline.store.current import CURRENT_FILE, current
from pipeline.store.stage_view import StageView

if TYPE_CHECKING:
    import pandas as pd

ATTEMPTS = 3  # at reading a cache that runs go on changing
Read = TypeVar("Read")


def locate(dataset: str | Path, cache_root: str = "cache", name: str | None = None) -> str:
    """The URL of a dataset's cache, from its folder, its manifest, its name or the cache itself."""
    if Folder(str(dataset)).has(CURRENT_FILE):
        return str(dataset)
    return f"{cache_root.rstrip('/')}/{name or name_of(dataset)}"


def open_cache(url: str | Path) -> Cache:
    """Open a dataset's cache, `cache/<dataset>`, as it is now; open it again after an extraction.

    Raises UnfinishedError where nothing was extracted.
    """
    return Cache(str(url))


class Cache(Mapping[str, StageView]):
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
