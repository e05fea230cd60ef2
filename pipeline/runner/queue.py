"""The tasks of a plan in the order in which they begin: what is ready, and what goes first."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import TopologicalSorter
from heapq import heappop, heappush

from pipeline.dag.task import Task, TaskId

FIRST = 2  # tasks of a stage: one that loads, and one that doesn't
BEFORE_ALL = 1 << 40  # more than there are partitions


class TaskQueue:
    """Gives each task once, after those that it waits for.

    Partitions go in their order, but a stage that others need goes ahead of them, by as many
    partitions as there are tasks at once: at the end of a run, when the last long tasks have begun,
    there is other work left for the threads beside them. The first tasks of each stage go before
    all: a stage that can't run shows early, and so does how long each takes.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = {task.id: task for task in tasks}
        self._sorter = TopologicalSorter(
            {task.id: [id for id in task.waits_for if id in self._tasks] for task in tasks}
        )
        self._sorter.prepare()
        self._ready: list[tuple[int, TaskId]] = []
        self._needs = {task.stage: task.needs for task in tasks}
        self._heights: dict[str, int] = {}
        self._failed: set[TaskId] = set()
        self._first: dict[str, list[int]] = {}
        for task in tasks:
            if len(first := self._first.setdefault(task.stage, [])) < FIRST:
                first.append(task.partition)

    def __bool__(self) -> bool:
        """Whether there are tasks that are not done."""
        return self._sorter.is_active()

    def take(self, at_once: int = 0) -> Task | None:
        """The task to begin next, None where none is ready. at_once: tasks."""
        for id in self._sorter.get_ready():
            heappush(self._ready, (self.rank(id, at_once), id))
        return self._tasks[heappop(self._ready)[1]] if self._ready else None

    def rank(self, id: TaskId, at_once: int) -> int:
        """The less, the sooner a task goes."""
        partition, stage = id
        before_all = BEFORE_ALL if partition in self._first[stage] else 0
        return partition - at_once * self._height(stage) - before_all

    def done(self, id: TaskId, failed: bool = False) -> None:
        """What waits for the task may begin; where it failed, that is blocked."""
        self._sorter.done(id)
        if failed:
            self._failed.add(id)

    def is_blocked(self, task: Task) -> bool:
        """Whether a task that it waits for has failed."""
        return not self._failed.isdisjoint(task.waits_for)

    def _height(self, stage: str) -> int:
        """How many stages there are one after the other that wait for this one."""
        if stage not in self._heights:
            takers = [taker for taker, needs in self._needs.items() if stage in needs]
            self._heights[stage] = max((1 + self._height(taker) for taker in takers), default=0)
        return self._heights[stage]
