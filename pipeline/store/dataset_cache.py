"""The cache of a dataset, read with the labels, splits and files that the dataset has now."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.dataset.layouts import table_of
from pipeline.dataset.load import Dataset, load
from pipeline.errors import UserError
from pipeline.io.file_digests import FileDigests
from pipeline.store.cache import Cache, locate, open_cache
from pipeline.store.clips_table import ClipsTable
from pipeline.store.merge import holds, in_step, require_current


def open_dataset(
    dataset: str | Path, cache_root: str = "cache", name: str | None = None, partly: bool = False
) -> Cache:
    """The cache of a dataset: its folder or manifest, its name in the cache, or the cache itself.

    Where there is such a folder or manifest, it is read: its labels and splits count, at once.
    partly: it may hold clips that are not extracted yet. Raises UserError where nothing was
    extracted, or the cache is another dataset's; DataError where clips changed since.
    """
    url = locate(dataset, cache_root, name)
    cache = open_cache(url)
    given = None if url == str(dataset) else _given(dataset, cache.table)
    if given:

        def as_now(known: ClipsTable) -> ClipsTable:
            now = in_step(known, given)
            if not partly:
                require_current(known, now)
            return now

        cache.follow(as_now)
    return cache


def is_of(dataset: str | Path, root: str | None, known: ClipsTable | None) -> bool:
    """Whether what was made of `root` was made of this dataset, here or where it lay before.

    known: the table of the cache between them, which has the contents. What is no folder or
    manifest, but a name, is taken at its word.
    """
    try:
        given = load(dataset)
    except UserError:
        return True
    if root in (None, str(given.root)):
        return True
    return known is not None and known.root == root and holds(known, given)


def _given(dataset: str | Path, known: ClipsTable) -> Dataset | None:
    """The dataset, if there is one of clips: what has been imported has none, a name is none."""
    is_root = os.path.abspath(dataset) == known.root
    if known.imported and is_root:
        return None
    if known.imported and Path(dataset).is_file():
        _require_same_file(dataset, known)
    try:
        table_of(dataset)
    except UserError:
        if is_root:
            raise
        return None
    return load(dataset)


def _require_same_file(path: str | Path, known: ClipsTable) -> None:
    with FileDigests() as digests:
        if digests.of(path) not in {row.digests.get("file") for row in known.rows}:
            raise UserError(
                f"the cache of {known.name!r} was imported from {known.root}, which is another "
                f"file than {path}; import that under another name with --name"
            )
