"""Extract a dataset: bring the cache's table up to date, plan, run the plan, sum it up."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import dataset
from pipeline.dag.plan import StagePlan, prepare
from pipeline.dag.stage import Stage, Stages
from pipeline.dataset.load import Dataset
from pipeline.io import lock
from pipeline.io.folder import Folder
from pipeline.runner.log import RunLog
from pipeline.runner.stop import Stop
from pipeline.runner.task import Engine, Outcome
from pipeline.store.cache import last_known, locate, set_current, store_url
from pipeline.store.clips_table import ClipsTable
from pipeline.store.provenance import provenance
from pipeline.store.store import Store
from pipeline.system.spans import Recording, recorded, span

Observer = Callable[[Outcome], None]
Started = Callable[[Sequence[StagePlan]], Observer]


@dataclass(frozen=True)
class Extraction:
    """What a run did.

    plans: what was lacking before it; outcomes: what became of it; recordings: what was done when,
    this process's own thread first, where the run is traced.
    """

    cache_url: str
    clips: int
    plans: tuple[StagePlan, ...]
    outcomes: tuple[Outcome, ...]
    seconds: float
    recordings: tuple[Recording, ...] = ()

    @property
    def stages(self) -> list[str]:
        """The stages that were looked at."""
        return [plan.stage for plan in self.plans]

    @property
    def left(self) -> int:
        """The partitions that were not begun, because the run was stopped."""
        return sum(len(plan.tasks) for plan in self.plans) - len(self.outcomes)


def extract(
    path: str | Path,
    stages_file: str | Path,
    engine: Engine,
    cache_root: str = "cache",
    name: str | None = None,
    only: Sequence[str] = (),
    started: Started = lambda plans: lambda outcome: None,
    retry: bool = False,
    stop: Stop | None = None,
    traced: bool = False,
) -> Extraction:
    """Run all that lacks a commit. `started` is told the plan and gives what is told the outcomes.

    retry: clips that failed run again too. traced: record what is done when. Once `stop` is asked
    for, or nothing can be written, no further partition is begun.

    Raises UserError where the dataset, the stages file or its weights can't be used.
    """
    clips, url = dataset.load(path), locate(path, cache_root, name)
    return bring_up_to_date(
        clips, stages_file, engine, url, name, only, started, retry, stop, traced
    )


def bring_up_to_date(
    clips: Dataset,
    stages_file: str | Path | Stages,
    engine: Engine,
    url: str,
    name: str | None = None,
    only: Sequence[str] = (),
    started: Started = lambda plans: lambda outcome: None,
    retry: bool = False,
    stop: Stop | None = None,
    traced: bool = False,
) -> Extraction:
    """As `extract`, for a dataset that was read and the URL of its cache."""
    begun = time.perf_counter()
    stop, folder = stop or Stop(), Folder(url)
    with (
        recorded(traced) as recording,
        lock.held(folder) as lease,
        RunLog(folder) as log,
    ):
        folder.sweep()
        with span("plan"):
            plan = prepare(clips, stages_file, folder.absolute_url, name, only, retry)
        plans, table = plan.by_stage, plan.table
        with span("make stores"):
            table.write(folder)
            _make_stores(plan.stages, plan.chosen, plan.identities, table, url)
        tasks = [replace(task, traced=traced) for stage_plan in plans for task in stage_plan.tasks]
        observe = started(plans)
        outcomes = []
        with _uncollected():
            for outcome in engine(tasks, stop) if tasks else ():
                lease.check()
                if outcome.no_place:
                    stop.ask()
                outcomes.append(outcome)
                log.add(outcome)
                observe(outcome)
        if tasks:
            folder.sweep()  # of what a worker left that died
    of_tasks = [own for outcome in outcomes for own in outcome.recordings]
    recordings = (recording, *of_tasks) if recording else ()
    seconds = time.perf_counter() - begun
    return Extraction(url, len(table.present), plans, tuple(outcomes), seconds, recordings)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Spare the garbage collector what there is, such as a plan: it would go over it many times."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _make_stores(
    stages: Stages,
    chosen: Sequence[Stage],
    identities: Mapping[str, Mapping[str, Any]],
    table: ClipsTable,
    url: str,
) -> None:
    """Create or grow every store before a task writes to one, and point the cache at them."""
    folder = Folder(url)
    stored = [stage for stage in chosen if stage.stored]
    for stage in stored:
        identity = identities[stage.name]
        Store.create(
            store_url(url, stage.name, identity["fingerprint"]),
            stage.make().writes(),
            stages.steps,
            stages.partition,
            len(table.rows),
            provenance(stage.name, identity, stage.settings.provenance()),
        )
    set_current(folder, {**last_known(folder), **{s.name: identities[s.name] for s in stored}})
