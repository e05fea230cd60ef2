"""What is said to be left of a run holds from a fifth of it on, whatever its shape."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from pipeline.cli.time_left import TimeLeft
from pipeline.dag.task import Task
from pipeline.runner.queue import TaskQueue
from pipeline.runner.types import Outcome

NEEDS = {"resnet18": ("faces",), "units": ("faces",), "wav2vec2": ("sound",), "mfcc": ("sound",)}
VISUAL_S = {"faces": 8.0, "resnet18": 3.0, "units": 12.0}  # of a partition of 8 clips
TASK_S = {**VISUAL_S, "sound": 0.3, "mfcc": 0.3, "wav2vec2": 4.0, "bert": 0.5}
LOADING_S = {"faces": 3.0, "units": 8.0, "resnet18": 4.0, "wav2vec2": 5.0, "bert": 4.0}
STARTING_S = 4.0  # before the first task
CLIPS = 8


@dataclass(frozen=True)
class Run:
    """A made run. varied: by how much times of partitions differ. done: partitions, before it.

    beside: tasks at once, on threads of one process or in processes of one thread.
    """

    partitions: int
    beside: int = 2
    processes: bool = False
    task_s: Mapping[str, float] = field(default_factory=lambda: TASK_S)
    done: Mapping[str, int] = field(default_factory=dict)
    varied: float = 0.3

    def tasks(self) -> list[Task]:
        return [
            Task(stage, number, (None,) * CLIPS, NEEDS.get(stage, ()), {}, {}, 0)  # type: ignore[arg-type]
            for stage in self.task_s
            for number in range(self.done.get(stage, 0), self.partitions)
        ]

    def said(self, seed: int) -> tuple[float, list[tuple[float, float | None]]]:
        """How long it took, and what was said when to be left, a hundred times."""
        every_s = self.partitions * sum(self.task_s.values()) / self.beside / 100
        varied, queue, time_left = (
            random.Random(seed),
            TaskQueue(self.tasks()),
            TimeLeft(self.tasks()),
        )
        now_s, free, loaded = STARTING_S, list(range(self.beside)), dict[tuple[str, int], float]()
        running, said = list[tuple[float, Outcome]](), list[tuple[float, float | None]]()
        while queue:
            while free and (task := queue.take(self.beside)):
                thread = free.pop(0)
                process = thread if self.processes else 0
                loads_s = LOADING_S.get(task.stage, 0.0)
                loaded_s = loaded.setdefault((task.stage, process), now_s + loads_s)
                loading_s = max(0.0, loaded_s - now_s)  # those beside the first one wait for it
                own_s = self.task_s[task.stage] * varied.uniform(1 - self.varied, 1 + self.varied)
                outcome = Outcome(
                    *(task.stage, task.partition, CLIPS, {"ok": CLIPS}, own_s + loading_s),
                    thread=("here", process, thread),
                )
                running.append((now_s + outcome.seconds, outcome))
            first = min(running, key=lambda one: one[0])
            while (at_s := len(said) * every_s) < first[0]:
                said.append((at_s, time_left.seconds(at_s)))
            running.remove(first)
            now_s, outcome = first
            assert outcome.thread is not None
            free.append(outcome.thread[2])
            queue.done(outcome.id)
            time_left.count(outcome, now_s)
        return now_s, said


SHAPES = {  # the few tasks of a short run have no mean
    "short": Run(3, varied=0.05),
    "short, processes": Run(5, processes=True, varied=0.1),
    "middling": Run(12),
    "long": Run(60),
    "many threads": Run(60, beside=16),
    "mostly loading": Run(20, task_s={stage: s / 15 for stage, s in TASK_S.items()}, varied=0.1),
    "processes": Run(24, beside=4, processes=True),
    "one at a time": Run(6, beside=1, varied=0.15),
    "one slow stage": Run(24, task_s={**TASK_S, "units": 100.0}, varied=0.2),
    "text alone": Run(12, task_s={"bert": 5.0}, varied=0.1),
    "resumed": Run(
        24,
        done={"faces": 20, "resnet18": 18, "units": 12, "sound": 22, "wav2vec2": 18, "bert": 23},
        varied=0.15,
    ),
}
SAID_BY = {  # of the run, where that is not 0.3
    "short": 1.0,  # never: each task but the last ones waits for a network
    "short, processes": 0.8,
    "mostly loading": 0.6,
    "middling": 0.4,
    "one at a time": 0.45,
    "text alone": 0.5,
    "many threads": 0.4,
    "processes": 0.4,
    "resumed": 0.8,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_from_a_fifth_of_a_run_on_what_is_left_is_said_within_30_percent(shape: str) -> None:
    for seed in range(4):
        took_s, said = SHAPES[shape].said(seed)
        for at_s, left_s in said:
            if left_s is not None and 0.2 * took_s <= at_s <= 0.8 * took_s:
                assert left_s == pytest.approx(took_s - at_s, rel=0.3), (seed, at_s, took_s)
            elif left_s is not None and at_s > 0.8 * took_s:
                assert left_s == pytest.approx(took_s - at_s, abs=0.1 * took_s), (seed, at_s)


@pytest.mark.parametrize("shape", SHAPES)
def test_something_is_said_as_soon_as_there_is_something_to_go_by(shape: str) -> None:
    for seed in range(2):
        took_s, said = SHAPES[shape].said(seed)
        begins_s = next((at_s for at_s, left_s in said if left_s is not None), took_s)
        assert begins_s <= SAID_BY.get(shape, 0.3) * took_s


def test_nothing_is_said_before_each_stage_has_shown_what_it_takes() -> None:
    run = Run(10, task_s={"faces": 8.0, "units": 12.0})
    time_left = TimeLeft(run.tasks())
    assert time_left.seconds(1.0) is None
    for partition in range(10):
        outcome = Outcome("faces", partition, CLIPS, {}, 8.0, thread=("here", 1, 1))
        time_left.count(outcome, 8.0 * (partition + 1))
        assert time_left.seconds(8.0 * (partition + 1)) is None
    time_left.count(Outcome("units", 0, CLIPS, {}, 15.0, thread=("here", 1, 1)), 95.0)
    assert time_left.seconds(95.0) is None  # the first loads, nobody knows for how long
    time_left.count(Outcome("units", 1, CLIPS, {}, 12.0, thread=("here", 1, 1)), 107.0)
    assert time_left.seconds(107.0) == pytest.approx(8 * 12.0)
    assert time_left.seconds(113.0) == pytest.approx(8 * 12.0 - 6.0)


def test_tasks_that_failed_or_did_not_run_tell_nothing_of_how_long_others_take() -> None:
    run = Run(5, task_s={"faces": 8.0, "units": 12.0})
    time_left = TimeLeft(run.tasks())
    for partition, (seconds, error) in enumerate([(9.0, ""), (0.1, "disk full"), (8.0, "")]):
        thread = ("here", 1, 1)
        faces = Outcome("faces", partition, CLIPS, {}, seconds, error, thread=thread)
        time_left.count(faces, 10.0 * (partition + 1))
    time_left.count(Outcome("units", 0, CLIPS, {}, 15.0, thread=thread), 45.0)
    time_left.count(Outcome("units", 1, CLIPS, error="not run"), 45.0)
    time_left.count(Outcome("units", 2, CLIPS, {}, 12.0, thread=thread), 57.0)
    assert time_left.seconds(57.0) == pytest.approx(2 * 8.0 + 2 * 12.0, rel=0.25)
