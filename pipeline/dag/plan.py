"""Which partitions of which stages have to run, and why: resuming is planning again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.dag.changes import AGAIN, LastRun, Reason
from pipeline.dag.identity import Identities
from pipeline.dag.spec import Stages, StagesFile
from pipeline.dag.stage import Stage
from pipeline.dag.task import GONE, OVERTAKEN, REMOVED, Task, TaskRow
from pipeline.dag.vanished import require_few
from pipeline.dataset.load import Dataset
from pipeline.io.folder import Folder
from pipeline.messages import counted
from pipeline.stage.result import FAILED, OK
from pipeline.store.clip_rows import Row
from pipeline.store.clips_table import ClipsTable
from pipeline.store.commit import Commit, RowState
from pipeline.store.current import last_known
from pipeline.store.layout import store_url
from pipeline.store.merge import merged
from pipeline.store.store import Store


@dataclass(frozen=True)
class StagePlan:
    """What one stage has to do: its tasks, of all its partitions, for how many clips, and why.

    why: also tells what changed where there is no task, since that store is there already. terms:
    of a library that it runs, where there are any to mind.
    """

    stage: str
    partitions: int
    tasks: tuple[Task, ...]
    clips: int = 0
    why: tuple[str, ...] = ()
    terms: str = ""

    def __str__(self) -> str:
        why = f" — {'; '.join(self.why)}" if self.why else ""
        size = f"{counted(len(self.tasks), 'partition')}, {counted(self.clips, 'clip')}"
        return f"{self.stage}: {size}{why}"


@dataclass(frozen=True)
class Plan:
    """All that a run starts from: read, and nothing of it written yet.

    is_new: whether the table is another than the cache has. changes: of the dataset's clips since
    the last run.
    """

    cache_url: str
    table: ClipsTable
    is_new: bool
    stages: Stages
    chosen: tuple[Stage, ...]
    identities: Identities
    by_stage: tuple[StagePlan, ...]
    changes: tuple[str, ...]

    @property
    def tasks(self) -> list[Task]:
        """The tasks of all stages."""
        return [task for stage in self.by_stage for task in stage.tasks]

    def to_json(self) -> dict[str, Any]:
        """What `smp extract --plan --json` prints."""
        stages = {
            plan.stage: {
                "fingerprint": self.identities[plan.stage]["fingerprint"],
                "partitions": [len(plan.tasks), plan.partitions],
                "clips": plan.clips,
                "why": list(plan.why),
            }
            for plan in self.by_stage
        }
        return {"cache": self.cache_url, "changes": list(self.changes), "stages": stages}


def prepare(
    dataset: Dataset,
    stages_file: str | Path | StagesFile | Stages,
    cache_url: str,
    name: str | None = None,
    only: Sequence[str] = (),
    retry: bool = False,
    drop_missing: bool | None = None,
    adopt: bool = False,
) -> Plan:
    """The plan for a dataset and its cache, neither of which is touched.

    stages_file: its path, or what was read. retry: clips that failed are computed again.
    drop_missing, adopt: see `RunOptions`. Raises UserError where the dataset, the stages file or
    its weights can't be used, or the cache is another dataset's; DataError where many files are
    gone.
    """
    folder = Folder(cache_url)
    known = ClipsTable.read(folder)
    table = merged(known, dataset, name, bool(drop_missing), adopt)
    is_new = known is None or known != table
    if known and is_new and drop_missing is None:
        require_few(known, table)
    stages = (
        stages_file if isinstance(stages_file, Stages) else Stages.load(stages_file, table.language)
    )
    chosen = stages.chosen(only)
    identities = stages.identities(chosen)
    planner = _Planner(stages, identities, table, cache_url, retry)
    last = LastRun(last_known(folder), known.rows if known else ())
    by_stage = []
    for stage in chosen:
        if stage.stored:
            tasks, due = planner.plan(stage)
            why = last.why(stage.name, identities[stage.name], table.rows, due)
            terms = stage.kind.about.terms
            by_stage.append(StagePlan(stage.name, planner.partitions, tasks, len(due), why, terms))
    changes = last.clips(table) if known and is_new else ()
    return Plan(
        cache_url, table, is_new, stages, tuple(chosen), identities, tuple(by_stage), changes
    )


class _Planner:
    """Plans one stage after the other, each after those that it needs.

    due: by stage, the number of every row that has to be computed, and why.
    """

    def __init__(
        self, stages: Stages, identities: Identities, table: ClipsTable, url: str, retry: bool
    ) -> None:
        self.stages, self.table, self.retry = stages, table, retry
        self.partitions = -(-len(table.rows) // stages.partition)
        self.urls = {
            name: store_url(url, name, identity["fingerprint"])
            for name, identity in identities.items()
            if stages[name].stored
        }
        self.commits: dict[str, dict[int, Commit]] = {}
        self.due: dict[str, dict[int, Reason]] = {}

    def plan(self, stage: Stage) -> tuple[tuple[Task, ...], Mapping[int, Reason]]:
        """The stage's tasks, and which rows are due and why."""
        self.commits[stage.name] = Store(self.urls[stage.name]).commits()
        self.due[stage.name] = {}
        tasks = []
        for number in range(self.partitions):
            if due := dict(self._due(stage, number)):
                self.due[stage.name] |= due
                tasks.append(self._task(stage, number, due))
        return tuple(tasks), self.due[stage.name]

    def _numbers(self, partition: int) -> range:
        """The numbers of a partition's rows in the table."""
        start = partition * self.stages.partition
        return range(start, min(start + self.stages.partition, len(self.table.rows)))

    def _keys(self, stage: Stage) -> list[str]:
        return self.table.keys(sorted(self.stages.reads(stage)))

    def _due(self, stage: Stage, number: int) -> Iterator[tuple[int, Reason]]:
        """Each row of a partition that has to be computed, and why."""
        keys, commit = self._keys(stage), self.commits[stage.name].get(number)
        held = {state.key: state for state in commit.rows} if commit else {}
        removed = self.table.column("removed")
        for i in self._numbers(number):
            state = held.get(keys[i])
            if removed[i]:
                continue
            if commit is None or commit.damage:
                yield i, Reason.DAMAGED if commit else Reason.NO_COMMIT
            elif state is None:
                ids = {key.rpartition("@")[0] for key in held}
                yield i, Reason.CHANGED if keys[i].rpartition("@")[0] in ids else Reason.NEW
            elif state.state != OK and (reason := self._reason_again(stage, number, i, state)):
                yield i, reason

    def _reason_again(self, stage: Stage, number: int, i: int, state: RowState) -> Reason | None:
        """Why a row is computed again whose commit says that it has no features."""
        is_gone = bool(self._gone(stage, self.table.rows[i]))
        is_retried = self.retry or state.reason.endswith(OVERTAKEN)
        if is_retried and state.state == FAILED and not is_gone:
            return Reason.FAILED
        if state.reason == REMOVED:
            return Reason.RETURNED
        if state.reason.startswith(GONE):
            return None if is_gone else Reason.RETURNED
        return Reason.UPSTREAM if self._is_outdated(stage, number, i, state) else None

    def _is_outdated(self, stage: Stage, number: int, i: int, state: RowState) -> bool:
        """Whether a row has no features because of an upstream one that is another now."""
        for need in stage.needs:
            if need not in self.urls or not state.reason.startswith(f"{need}: "):
                continue
            if i in self.due[need]:
                return state.state == FAILED
            commit = self.commits[need].get(number)
            sources = commit.rows[i - number * self.stages.partition :][:1] if commit else ()
            told = [(source.state, f"{need}: {source.reason}") for source in sources]
            return told != [(state.state, state.reason)]
        return False

    def _task(self, stage: Stage, number: int, due: Mapping[int, Reason]) -> Task:
        keys, opens = self._keys(stage), self._opens(stage)
        rows = tuple(
            TaskRow(
                row.clip,
                keys[i],
                row.removed,
                due.get(i) in AGAIN,
                tuple(row.files[part] for part in sorted(opens & row.files.keys() - row.stale)),
                row.why_stale(opens),
            )
            for i, row in ((i, self.table.rows[i]) for i in self._numbers(number))
        )
        stores = {name: self.urls[name] for name in (stage.name, *stage.needs) if name in self.urls}
        clips = len(self.table.rows)
        return Task(stage.name, number, rows, stage.needs, self.stages.spec, stores, clips)

    def _gone(self, stage: Stage, row: Row) -> str:
        return row.why_stale(self._opens(stage)) if row.stale else ""

    def _opens(self, stage: Stage) -> frozenset[str]:
        """The parts of a clip that the stage's own tasks open, for what is streamed to them too."""
        streams = (self.stages[need] for need in stage.needs if not self.stages[need].stored)
        return stage.make().reads.union(*(self._opens(stream) for stream in streams))
