"""Stores that no current stages file reaches: which there are, and their removal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.dag.changes import of_identity
from pipeline.dag.spec import Stages, StagesFile, file_for
from pipeline.errors import UserError
from pipeline.io import strict_json
from pipeline.io.folder import Folder
from pipeline.io.names import is_safe_name
from pipeline.store.clips_table import ClipsTable
from pipeline.store.current import current, set_current
from pipeline.store.layout import COMMITS, store_url
from pipeline.store.previous import ENDING

STORE = re.compile(r"([0-9a-f]{8})(\.previous)?\.zarr")
META_FILE = "zarr.json"


@dataclass(frozen=True)
class Unreached:
    """A store of a cache that nothing leads to. why: what it was made with, and what is now."""

    cache: Folder
    stage: str
    name: str
    size_bytes: int
    why: str

    def remove(self) -> None:
        """Remove it: its commits first, so that what an interruption leaves vouches for nothing.

        What makes it a store goes last, so that the next time finds it again.
        """
        store = f"{self.stage}/{self.name}"
        names = (self.cache / store).names()
        for name in sorted(names, key=lambda n: (n == META_FILE, n != COMMITS)):
            self.cache.remove_all(f"{store}/{name}")
        self.cache.remove_all(store)


@dataclass(frozen=True)
class Sweep:
    """What a cleaning of one cache finds. kept: the number of stores that stay."""

    cache: Folder
    unreached: tuple[Unreached, ...]
    kept: int
    current: Mapping[str, Mapping[str, Any]]

    def carry_out(self) -> Iterator[Unreached]:
        """Remove what was found, one by one, once no reader is led there any more."""
        if self.unreached:
            set_current(self.cache, self.current)
        for store in self.unreached:
            store.remove()
            yield store


def find(
    cache_url: str,
    stages_files: Sequence[Path] = (),
    dataset: Path | None = None,
    strict: bool = False,
    is_trusted: bool = False,
) -> Sweep:
    """The stores of a cache that neither the stages files nor the last extraction lead to.

    stages_files: by default the one that `smp extract` takes for the dataset, which is looked for
    where it last was unless given. strict: the last extraction does not count. is_trusted: as in
    `file_for`. Raises UserError, and removes nothing, where a stages file or its weights can't be
    had: what they reach is not known then.
    """
    cache, table = Folder(cache_url), table_of(cache_url)
    last = current(cache)
    identities: list[Mapping[str, Mapping[str, Any]]]
    if table.imported:  # no stages file would ever lead to it
        identities = [last]
    else:
        files = [StagesFile(path) for path in stages_files] or [_own(table, dataset, is_trusted)]
        identities = [Stages.load(file, table.language).stored_identities() for file in files]
    reached = {_url(name, one) for by_stage in identities for name, one in by_stage.items()}
    if not strict:
        reached |= {_url(name, identity) for name, identity in last.items()}
    stores = list(_stores(cache))
    unreached = [
        Unreached(cache, stage, name, size, _why(stage, name, made, identities))
        for stage, name, made in stores
        if f"/{stage}/{name}" not in reached
        for size in [(cache / stage / name).size_bytes()]
    ]
    stays = {name: one for name, one in last.items() if _url(name, one) in reached}
    return Sweep(cache, tuple(unreached), len(stores) - len(unreached), stays)


def caches(root: str) -> list[str]:
    """The URLs of all caches below a root."""
    folder = Folder(root)
    return [f"{folder.url}/{name}" for name in folder.names() if ClipsTable.read(folder / name)]


def table_of(cache_url: str) -> ClipsTable:
    """The clips of a cache; UserError where there is no cache."""
    table = ClipsTable.read(Folder(cache_url))
    if table is None:
        raise UserError(f"{cache_url}: no cache; nothing to clean")
    return table


def _own(table: ClipsTable, dataset: Path | None, is_trusted: bool) -> StagesFile:
    root = dataset or Path(table.root)
    if not root.exists():
        raise UserError(
            f"the dataset of cache {table.name!r} is not at {root} any more, so its stages file is "
            "not known; name the dataset, or give --stages"
        )
    return file_for(root, is_trusted=is_trusted)


def _url(stage: str, identity: Mapping[str, Any]) -> str:
    return store_url("", stage, identity["fingerprint"])


def _stores(cache: Folder) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Stage, name and attributes of every store; whatever else lies in a cache is none."""
    for stage in filter(is_safe_name, cache.names()):
        for name in (cache / stage).names():
            store = cache / stage / name
            leads_out = store.path is not None and (
                store.path.is_symlink() or store.path.parent.is_symlink()
            )
            found = STORE.fullmatch(name)
            if found and not leads_out:
                made = _attributes(store)
                if made.get("stage") == stage and found[1] == str(made.get("fingerprint"))[:8]:
                    yield stage, name, made


def _attributes(store: Folder) -> Mapping[str, Any]:
    try:
        return dict(strict_json.loads(store.read(META_FILE) or b"")["attributes"])
    except (ValueError, KeyError, TypeError):
        return {}


def _why(
    stage: str, name: str, made: Mapping[str, Any], identities: Iterable[Mapping[str, Any]]
) -> str:
    if name.endswith(ENDING):
        return "features of clips before they changed"
    now = next((by_stage[stage] for by_stage in identities if stage in by_stage), None)
    if now is None:
        return "no stages file has this stage"
    return "; ".join(of_identity(made["identity"], now)) if "identity" in made else "other settings"
