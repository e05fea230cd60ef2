"""Features of clips that come one call at a time and belong to no dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pipeline.cache import Cache, open_cache
from pipeline.clip import Clip
from pipeline.dataset import Dataset
from pipeline.errors import UserError
from pipeline.extract import Started, bring_up_to_date
from pipeline.run import Engine, run_serially
from pipeline.stages import Stages

NAME = "predictions"
ANYWHERE = Path("/")  # the clips of a cache may be of many folders


def of_file(path: str | Path) -> Clip:
    """The clip in a media file, a path or URL, called as the file was named."""
    name = str(path)
    return Clip(name, video=name if "://" in name else os.path.abspath(name))


def extract_clips(
    clips: Sequence[Clip],
    stages: Stages,
    cache_url: str,
    started: Started = lambda plans: lambda outcome: None,
) -> Cache:
    """Run `clips` through `stages`, all together, and open the cache that they are in.

    cache_url: new, or that of an earlier call: what it holds is not computed again, but for clips
    that failed. Raises UserError where a partition could not be made.
    """
    dataset = Dataset(NAME, ANYWHERE, tuple(clips), is_open=True)
    engine = _engine(len(clips), stages.partition)
    done = bring_up_to_date(dataset, stages, engine, cache_url, started=started, retry=True)
    for outcome in done.outcomes:
        if outcome.error:
            raise UserError(f"stage {outcome.stage!r}: {outcome.error}; mend it and run again")
    return open_cache(cache_url)


def _engine(clips: int, partition: int) -> Engine:
    if clips <= partition:
        return run_serially
    # dask takes a second to import, and gains nothing where there is one partition.
    from pipeline.cluster import DaskEngine

    return DaskEngine()
