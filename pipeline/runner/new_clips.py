"""Features of clips that come one call at a time and belong to no dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.dag.stage import Stages
from pipeline.dataset.clip import Clip
from pipeline.dataset.load import Dataset
from pipeline.errors import UserError
from pipeline.runner.extract import Started, bring_up_to_date
from pipeline.runner.task import Engine, run_serially
from pipeline.store.cache import Cache, open_cache

NAME = "predictions"
ANYWHERE = Path("/")  # the clips of a cache may be of many folders


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
    from pipeline.runner.dask_engine import DaskEngine

    return DaskEngine()
