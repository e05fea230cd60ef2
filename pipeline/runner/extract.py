"""Extract a dataset: bring the cache's table up to date, plan, run the plan, sum it up."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline import dataset
from pipeline.dag.identity import Identities
from pipeline.dag.plan import Plan, StagePlan, prepare
from pipeline.dag.spec import Stages, StagesFile
from pipeline.dag.task import Task
from pipeline.dataset.load import Dataset
from pipeline.encoders.engine import told as engine_told
from pipeline.errors import UserError
from pipeline.io import lock
from pipeline.io.folder import Folder
from pipeline.io.lease import Lease
from pipeline.runner.log import RunLog
from pipeline.runner.stop import Stop
from pipeline.runner.types import Engine, Listener, Outcome
from pipeline.store.cache import locate
from pipeline.store.clips_table import ClipsTable
from pipeline.store.current import last_known, set_current
from pipeline.store.layout import store_url
from pipeline.store.previous import loses, previous_url
from pipeline.store.provenance import provenance
from pipeline.store.store import Store
from pipeline.system.process import uncollected
from pipeline.system.spans import Recording, recorded, span


@dataclass(frozen=True)
class RunOptions:
    """What a run may be told.

    name: what the cache calls the dataset, where that is not the dataset's own name. only: the
    stages to run, with what they need; all where none is named. retry: run clips that failed
    again. traced: record what is done when. drop_missing: of clips whose files are gone, True drops
    the features, False keeps them, None keeps them and stops the run where it is many. adopt: take
    the cache over from another dataset. keep_previous: keep the features that changed clips had,
    one generation of each partition. beside: of clips of the cache alone; its table of clips and
    its current stages stay as they are, the stores come beside those.
    """

    name: str | None = None
    only: Sequence[str] = ()
    retry: bool = False
    traced: bool = False
    drop_missing: bool | None = None
    adopt: bool = False
    keep_previous: bool = False
    beside: bool = False

    @property
    def of_plan(self) -> tuple[str | None, Sequence[str], bool, bool | None, bool]:
        """What a plan depends on, in the order in which `prepare` takes it."""
        return self.name, self.only, self.retry, self.drop_missing, self.adopt


DEFAULTS = RunOptions()


@dataclass(frozen=True)
class Extraction:
    """What a run did.

    table: of the clips. plans: what there was to do; outcomes: what became of it; recordings: what
    was done when, this process's own thread first, where the run is traced.
    """

    cache_url: str
    table: ClipsTable
    plans: tuple[StagePlan, ...]
    outcomes: tuple[Outcome, ...]
    seconds: float
    recordings: tuple[Recording, ...] = ()

    @property
    def clips(self) -> int:
        """How many clips the dataset has."""
        return len(self.table.present)

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
    stages_file: str | Path | StagesFile,
    engine: Engine,
    cache_root: str = "cache",
    options: RunOptions = DEFAULTS,
    listener: Listener | None = None,
    stop: Stop | None = None,
) -> Extraction:
    """Extract the features of the dataset at `path` that are missing or outdated.

    Once `stop` is asked for, or nothing can be written, no further partition is begun. Raises
    UserError where the dataset, the stages file or its weights can't be used.
    """
    url = locate(path, cache_root, options.name)
    return bring_up_to_date(dataset.load(path), stages_file, engine, url, options, listener, stop)


def bring_up_to_date(
    clips: Dataset,
    stages_file: str | Path | StagesFile | Stages,
    engine: Engine,
    url: str,
    options: RunOptions = DEFAULTS,
    listener: Listener | None = None,
    stop: Stop | None = None,
) -> Extraction:
    """As `extract`, for a dataset that was read and the URL of its cache."""
    begun, folder, outcomes = time.perf_counter(), Folder(url), list[Outcome]()
    with (
        recorded(options.traced) as recording,
        lock.held(folder) as lease,
        closing(RunLog(folder)) as log,
    ):
        folder.sweep()  # of what an earlier run left that died
        plan = _planned(clips, stages_file, folder, options)
        if listener:
            listener.planned(plan.by_stage)
        traced, keeps = options.traced, options.keep_previous
        tasks = [replace(task, traced=traced, keeps=keeps) for task in plan.tasks]
        for outcome in _carried_out(tasks, engine, stop or Stop(), lease):
            outcomes.append(outcome)
            log.add(outcome)
            if listener:
                listener.finished(outcome)
        if tasks:
            lease.check(anew=True)
            _tell_engines(plan, folder)
            folder.sweep()  # of what a worker left that died
    of_tasks = [own for outcome in outcomes for own in outcome.recordings]
    recordings = (recording, *of_tasks) if recording else ()
    seconds = time.perf_counter() - begun
    return Extraction(url, plan.table, plan.by_stage, tuple(outcomes), seconds, recordings)


def _planned(
    clips: Dataset,
    stages_file: str | Path | StagesFile | Stages,
    folder: Folder,
    options: RunOptions,
) -> Plan:
    """The plan, with the table and every store in place for its tasks."""
    with span("plan"):
        plan = prepare(clips, stages_file, folder.absolute_url, *options.of_plan)
    with span("make stores"):
        if plan.is_new and not options.beside:
            plan.table.write(folder)
        made = _make_stores(plan, folder, options.keep_previous)
        if not options.beside:
            set_current(folder, {**last_known(folder), **made})
    return plan


def _carried_out(
    tasks: Sequence[Task], engine: Engine, stop: Stop, lease: Lease
) -> Iterator[Outcome]:
    """What the engine yields, for as long as the cache is there and this run's."""
    with uncollected():
        try:
            for outcome in engine(tasks, stop) if tasks else ():
                fault = outcome.fault
                lease.check(anew=bool(outcome.error) and not (fault and fault.no_place))
                if fault and fault.ends_the_run:
                    stop.ask()
                yield outcome
        except UserError:
            lease.check(anew=True)  # it may be why
            raise


def _make_stores(plan: Plan, folder: Folder, keep_previous: bool) -> Identities:
    """Create or grow every store before a task writes to one; the identities of their stages."""
    losing = {task.stage for task in plan.tasks if keep_previous and _loses(task)}
    identities = {stage.name: plan.identities[stage.name] for stage in plan.chosen if stage.stored}
    for name, identity in identities.items():
        stage, url = plan.stages[name], store_url(folder.url, name, identity["fingerprint"])
        told = provenance(
            name,
            identity,
            stage.settings.provenance(),
            stage.kind.requires,
            about=stage.kind.about.to_json(),
        )
        for one in (url, previous_url(url)) if name in losing else (url,):
            Store.create(
                one,
                stage.make().writes(),
                stage.steps,
                plan.stages.partition,
                len(plan.table.rows),
                told,
            )
    return identities


def _tell_engines(plan: Plan, folder: Folder) -> None:
    """Have each store say which engine this run computed it with, and how near that is to torch."""
    for name in {task.stage for task in plan.tasks}:
        identity = plan.identities[name]
        if told := engine_told(plan.stages[name].settings, identity["weights"]):
            Store(store_url(folder.url, name, identity["fingerprint"])).tell({"engine": told})


def _loses(task: Task) -> bool:
    commit = Store(task.stores[task.stage]).commit(task.partition)
    return loses(commit, {row.key for row in task.rows})
