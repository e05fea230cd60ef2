"""Which partitions of which stages lack a commit, and why: the plan is the resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from pipeline.cache import store_url
from pipeline.clip import Clip
from pipeline.clips_table import ClipsTable, Row
from pipeline.commit import Commit
from pipeline.stages import Stage, Stages
from pipeline.store import Store

TaskId = tuple[int, str]


@dataclass(frozen=True)
class TaskRow:
    """A clip in a task, with the key under which its result is committed."""

    clip: Clip
    key: str
    removed: bool


@dataclass(frozen=True)
class Task:
    """One partition of one stage: paths and indices, never frames or tensors.

    spec: the resolved stages file. stores: the store of the stage and of those that it needs.
    """

    stage: str
    partition: int
    rows: tuple[TaskRow, ...]
    needs: tuple[str, ...]
    spec: Mapping[str, Any]
    stores: Mapping[str, str]
    why: str

    @property
    def id(self) -> TaskId:
        """Partition and stage: unique in a plan, and in the order in which tasks are begun."""
        return self.partition, self.stage

    @property
    def waits_for(self) -> list[TaskId]:
        """The tasks that must be done before this one, should they be in the plan."""
        return [(self.partition, need) for need in self.needs]


@dataclass(frozen=True)
class StagePlan:
    """What one stage lacks: its tasks, of all its partitions."""

    stage: str
    partitions: int
    tasks: tuple[Task, ...]


def plan(
    stages: Stages,
    chosen: Sequence[Stage],
    identities: Mapping[str, Mapping[str, Any]],
    table: ClipsTable,
    cache_url: str,
) -> list[StagePlan]:
    """The partitions that lack a valid commit, by stage, in an order in which they can run."""
    urls = {
        stage.name: store_url(cache_url, stage.name, identities[stage.name]["fingerprint"])
        for stage in chosen
        if stage.stored
    }
    return [_stage_plan(stages, stage, urls, table) for stage in chosen if stage.stored]


def in_order(tasks: Sequence[Task]) -> TopologicalSorter[TaskId]:
    """A sorter, prepared, over the tasks' ids: what is ready, and what waits for what."""
    ids = {task.id for task in tasks}
    sorter = TopologicalSorter({t.id: [w for w in t.waits_for if w in ids] for t in tasks})
    sorter.prepare()
    return sorter


def _stage_plan(
    stages: Stages, stage: Stage, urls: Mapping[str, str], table: ClipsTable
) -> StagePlan:
    reads = sorted(stages.reads(stage))
    commits = Store(urls[stage.name]).commits()
    size = stages.partition
    stores = {name: urls[name] for name in (stage.name, *stage.needs) if name in urls}
    tasks = []
    for number, start in enumerate(range(0, len(table.rows), size)):
        rows = tuple(_task_row(row, reads) for row in table.rows[start : start + size])
        if why := _why(commits.get(number), rows):
            tasks.append(Task(stage.name, number, rows, stage.needs, stages.spec, stores, why))
    return StagePlan(stage.name, -(-len(table.rows) // size), tuple(tasks))


def _task_row(row: Row, reads: Sequence[str]) -> TaskRow:
    return TaskRow(row.clip, row.key(reads), row.removed)


def _why(commit: Commit | None, rows: Sequence[TaskRow]) -> str:
    """Why a partition has to run, empty where it does not."""
    if commit is None:
        return "no commit"
    if commit.damage:
        return commit.damage
    known = set(commit.keys)
    changed = [row.clip.id for row in rows if row.key not in known and not row.removed]
    return f"new or changed: {', '.join(changed)}" if changed else ""
