"""How long the rest of a run will take, by what its tasks took so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from heapq import heappop, heappush
from statistics import fmean

from pipeline.dag.task import Task, TaskId
from pipeline.runner.queue import TaskQueue
from pipeline.runner.types import Outcome, Thread

Process = tuple[str, int]  # its host and number

BASIS = 0.1  # of the work; or
EACH = 2  # tasks of every stage that has work left, beside first ones
PLAYED = 400  # tasks; of more, the end matters less than what they take in all
GONE = 2.0  # times as long as the longest task: a thread that ended none since is there no more


class TimeLeft:
    """Plays what is left through, in the order of the run's own queue.

    A task takes what the later half of its stage's tasks took a clip, but for those that began
    before the first one in their process had ended: they waited for the networks to be loaded, as
    one will in each other process. With none but these, nobody knows what a task takes.
    How many tasks run side by side, and what those that run have had already, is seen by the
    threads that the finished ones ran in.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._due = {task.id: task for task in tasks}
        self._clips_due: defaultdict[str, int] = defaultdict(int)
        self._tasks_due: defaultdict[str, int] = defaultdict(int)
        for task in tasks:
            self._count_due(task, 1)
        self._clip_s: defaultdict[str, list[float]] = defaultdict(list)
        self._first_s: defaultdict[str, dict[Process, float]] = defaultdict(dict)  # a clip
        self._loaded_s: dict[tuple[str, Process], float] = {}  # when the first one ended
        self._spans: dict[Thread, tuple[float, float, float]] = {}  # begin, end, busy in between
        self._done_s = self._longest_s = 0.0

    def count(self, outcome: Outcome, now_s: float) -> None:
        """Take in what became of a task, which ended now."""
        task = self._due.pop(outcome.id)
        self._count_due(task, -1)
        if outcome.thread is None:  # nothing was computed, or nobody knows where
            return
        seconds = outcome.seconds
        begin_s, _, busy_s = self._spans.get(outcome.thread, (now_s - seconds, 0.0, 0.0))
        self._spans[outcome.thread] = begin_s, now_s, busy_s + seconds
        self._longest_s = max(self._longest_s, seconds)
        self._done_s += seconds
        if not outcome.error:
            clip_s, process = seconds / max(len(task.rows), 1), outcome.thread[:2]
            loaded_s = self._loaded_s.setdefault((outcome.stage, process), now_s)
            if now_s - seconds < loaded_s:  # beside the first: it waited too
                first_s = self._first_s[outcome.stage]
                first_s[process] = max(clip_s, first_s.get(process, 0.0))
            else:
                self._clip_s[outcome.stage].append(clip_s)

    def seconds(self, now_s: float) -> float | None:
        """What is left at that time; None with too little to go by."""
        stages = [stage for stage, tasks in self._tasks_due.items() if tasks]
        known = {stage: self._clip_s[stage] for stage in stages}
        if not all(known.values()):
            return None
        clip_s = {stage: _later(values) for stage, values in known.items()}
        loads = {stage: self._loads(stage, clip_s[stage]) for stage in stages}
        work_s = sum(clip_s[stage] * self._clips_due[stage] for stage in stages)
        work_s += sum(number * each_s for number, each_s in loads.values())
        if self._done_s < BASIS * (self._done_s + work_s) and min(map(len, known.values())) < EACH:
            return None
        at_once, running_s = self._side_by_side(now_s)
        if len(self._due) > PLAYED:
            left_s = (work_s - running_s) / at_once
        else:
            left_s = self._played_s(clip_s, loads, max(1, round(at_once)))
            left_s -= running_s / max(1.0, min(at_once, len(self._due)))
        return left_s if left_s > 0 else None  # else the last ones take longer than others did

    def _count_due(self, task: Task, tasks: int) -> None:
        self._tasks_due[task.stage] += tasks
        self._clips_due[task.stage] += tasks * len(task.rows)

    def _loads(self, stage: str, clip_s: float) -> tuple[int, float]:
        """How many processes will load what the stage needs, and for how long each."""
        first_s, tasks = self._first_s[stage], self._tasks_due[stage]
        processes = {thread[:2] for thread in self._spans}
        clips = self._clips_due[stage] / tasks
        loading_s = max(fmean(first_s.values()) - clip_s, 0.0) * clips
        return min(len(processes - first_s.keys()), tasks), loading_s

    def _side_by_side(self, now_s: float) -> tuple[float, float]:
        """How many tasks run at once, and the seconds that those which run now have had in all.

        Up to its last task's end, a thread's share of time in tasks is known; it stays that.
        """
        there_s = now_s - GONE * self._longest_s
        spans = [span for span in self._spans.values() if span[1] >= there_s]
        spans = spans or list(self._spans.values())
        known_s = sum(end_s - begin_s for begin_s, end_s, _ in spans)
        share = min(1.0, sum(busy_s for *_, busy_s in spans) / max(known_s, 1e-9))
        since_s = sum(now_s - end_s for _, end_s, _ in spans)
        return max(1.0, share * len(spans)), share * since_s

    def _played_s(
        self, clip_s: dict[str, float], loads: dict[str, tuple[int, float]], at_once: int
    ) -> float:
        """The time of all tasks that have not ended, as if none had begun."""
        queue, time_s = TaskQueue(list(self._due.values())), 0.0
        loading = {stage: number for stage, (number, _) in loads.items()}
        ends: list[tuple[float, TaskId]] = []
        while queue:
            while len(ends) < at_once and (task := queue.take(at_once)):
                takes_s = clip_s[task.stage] * len(task.rows)
                if loading[task.stage]:
                    loading[task.stage] -= 1
                    takes_s += loads[task.stage][1]
                heappush(ends, (time_s + takes_s, task.id))
            time_s, id = heappop(ends)
            queue.done(id)
        return time_s


def _later(values: list[float]) -> float:
    """The mean of the later half."""
    return fmean(values[len(values) // 2 :])
