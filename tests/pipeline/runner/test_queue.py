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


def test_the_first_tasks_of_each_stage_go_before_all() -> None:
    begins = {"faces": 18, "resnet18": 9, "bert": 3, "visual": 9}
    due = [task for task in tasks(20) if task.partition >= begins[task.stage]]
    firsts = {(n + more, s) for s, n in begins.items() for more in (0, 1)}
    assert set(order(TaskQueue(due), threads=2)[:8]) == firsts


def test_what_others_need_goes_ahead_by_a_partition_a_thread_and_stage() -> None:
    assert order(queue(3), threads=1) == [
        *[(0, "faces"), (0, "resnet18"), (1, "faces")],
        *[(0, "bert"), (0, "visual"), (1, "resnet18"), (1, "bert"), (1, "visual")],
        *[(2, "faces"), (2, "resnet18"), (2, "bert"), (2, "visual")],
    ]
    taken = order(queue(20), threads=2)
    after_the_last = taken[taken.index((19, "faces")) + 1 :]
    assert len(after_the_last) > 2 * len(NEEDS)
