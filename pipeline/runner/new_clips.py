"""Features of clips that come one call at a time and belong to no dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.dag.spec import Stages
from pipeline.dataset.clip import Clip
from pipeline.dataset.load import Dataset
from pipeline.errors import UserError
from pipeline.runner import engines
from pipeline.runner.extract import RunOptions, bring_up_to_date
from pipeline.runner.types import Listener
from pipeline.store.cache import Cache, open_cache

NAME = "predictions"
ANYWHERE = Path("/")  # the clips of a cache may be of many folders


def extract_clips(
    clips: Sequence[Clip], stages: Stages, cache_url: str, listener: Listener | None = None
) -> Cache:
    """Run `clips` through `stages`, all together, and open the cache that they are in.

    cache_url: new, or that of an earlier call: what it holds is not computed again, but for clips
    that failed. Raises UserError where a partition could not be made.
    """
    dataset = Dataset(NAME, ANYWHERE, tuple(clips), is_open=True)
    engine = engines.choose(serial=len(clips) <= stages.partition)  # dask gains nothing with one
    options = RunOptions(retry=True, drop_missing=True)  # what is asked for has to be there now
    done = bring_up_to_date(dataset, stages, engine, cache_url, options, listener)
    for outcome in done.outcomes:
        if outcome.error:
            raise UserError(f"stage {outcome.stage!r}: {outcome.error}; fix it and run again")
    return open_cache(cache_url)
