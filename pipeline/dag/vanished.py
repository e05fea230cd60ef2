"""Stops a run before which many files vanished: a disk that isn't mounted, rather than a wish."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pipeline.dataset.clip import MEDIA
from pipeline.errors import DataError
from pipeline.messages import counted, listed, printable
from pipeline.store.clip_rows import Row
from pipeline.store.clips_table import ClipsTable

FEW = 3  # clips that someone may have deleted one by one
SHARE = 0.1  # of the clips with files: a bad batch may go, a whole folder not unseen
NAMED = 3


def require_few(known: ClipsTable, table: ClipsTable) -> None:
    """Raise DataError where more than FEW clips, and SHARE of all, lost files since `known`."""
    rows = list(zip(known.rows, table.rows, strict=False))
    gone = [now for was, now in rows if now.stale and not was.stale]
    had = [now for was, now in rows if not now.removed and any(p in was.digests for p in MEDIA)]
    if len(gone) <= max(FEW, SHARE * len(had)):
        return
    where = os.path.commonpath([os.path.dirname(path) for row in gone for path in _paths(row)])
    raise DataError(
        f"the files of {len(gone)} of {counted(len(had), 'clip')} are gone, empty or unreadable in "
        f"{printable(where)} ({listed([row.clip.id for row in gone], NAMED)}); nothing was "
        "written. Mount or restore them; or go on with --keep-missing, which keeps their features, "
        "or --drop-missing"
    )


def _paths(row: Row) -> Iterator[str]:
    for part in row.stale:
        yield os.path.abspath(getattr(row.clip, part))
