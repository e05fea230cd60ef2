"""In which order tasks begin."""

from collections.abc import Mapping, Sequence

from pipeline.dag.task import Task, TaskId
from pipeline.runner.queue import TaskQueue

NEEDS = {"bert": (), "faces": (), "resnet18": ("faces",), "visual": ("resnet18",)}


def tasks(partitions: int, needs: Mapping[str, Sequence[str]] = NEEDS) -> list[Task]:
    return [
        Task(stage, number, (), tuple(need), {}, {}, 0)
        for number in range(partitions)
        for stage, need in needs.items()
    ]


def queue(partitions: int, needs: Mapping[str, Sequence[str]] = NEEDS) -> TaskQueue:
    return TaskQueue(tasks(partitions, needs))


def order(queue: TaskQueue, threads: int) -> list[TaskId]:
    taken = []
    while task := queue.take(threads):
        taken.append(task.id)
        queue.done(task.id)
    assert not queue
    return taken


def test_the_plain_loop_finishes_one_partition_after_the_other() -> None:
    assert order(queue(2), threads=0) == [
        (number, stage) for number in range(2) for stage in ("bert", "faces", "resnet18", "visual")
    ]


def test_what_is_not_ready_is_not_given() -> None:
    due = queue(1)
    assert [due.take().id, due.take().id] == [(0, "bert"), (0, "faces")]  # type: ignore[union-attr]
    assert due.take() is None
    due.done((0, "bert"))
    assert due.take() is None
    due.done((0, "faces"))
    assert due.take().id == (0, "resnet18")  # type: ignore[union-attr]


def test_the_first_task_of_each_stage_goes_before_all() -> None:
    due = [
        task for task in tasks(20) if task.partition >= {"faces": 18, "bert": 3}.get(task.stage, 9)
    ]
    firsts = {(18, "faces"), (9, "resnet18"), (3, "bert"), (9, "visual")}
    assert set(order(TaskQueue(due), threads=2)[:4]) == firsts


def test_what_others_need_goes_ahead_by_a_partition_a_thread_and_stage() -> None:
    assert order(queue(3), threads=1) == [
        *[(0, "faces"), (0, "resnet18"), (0, "bert"), (0, "visual")],
        *[(1, "faces"), (1, "resnet18"), (2, "faces")],
        *[(1, "bert"), (1, "visual"), (2, "resnet18")],
        *[(2, "bert"), (2, "visual")],
    ]
    taken = order(queue(20), threads=2)
    after_the_last = taken[taken.index((19, "faces")) + 1 :]
    assert len(after_the_last) > 2 * len(NEEDS)
