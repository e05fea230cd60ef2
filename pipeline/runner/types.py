"""What an engine is given and yields, and who is told of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.dag.plan import StagePlan
from pipeline.dag.task import Task, TaskId
from pipeline.runner.fault import Fault
from pipeline.runner.stop import Stop
from pipeline.system.spans import Recording

Thread = tuple[str, int, int]  # its host, process and number


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    counts: clips by state. error: why there is no commit, so that the whole partition is not there.
    fault: what failed of the machine, where that is why. recordings: what was done when, in each
    thread, where the task is traced.
    thread: where it ran; None where it did not run, or died.
    traces: the traceback of every kind of unforeseen error, whether it cost clips or the partition.
    """

    stage: str
    partition: int
    rows: int
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    fault: Fault | None = None
    recordings: tuple[Recording, ...] = ()
    traces: tuple[str, ...] = ()
    thread: Thread | None = None

    @classmethod
    def failed(cls, task: Task, error: str, seconds: float = 0.0) -> Outcome:
        """That the task left no commit."""
        return cls(task.stage, task.partition, len(task.rows), seconds=seconds, error=error)

    @classmethod
    def blocked(cls, task: Task) -> Outcome:
        """That the task was not begun, as what it needs has failed."""
        return cls.failed(task, "not run: this partition failed in a stage that it needs")

    @property
    def id(self) -> TaskId:
        """The task's."""
        return self.partition, self.stage


def devices_told(devices: Sequence[str]) -> str:
    """A line for a person: the devices of all workers, as they are called."""
    counted = Counter(devices)
    return "device: " + ", ".join(f"{n} × {name}" if n > 1 else name for name, n in counted.items())


Engine = Callable[[Sequence[Task], Stop], Iterable[Outcome]]


class Listener(Protocol):
    """Follows a run, as a progress display does."""

    def planned(self, plans: Sequence[StagePlan]) -> None:
        """Once, before the first task."""

    def finished(self, outcome: Outcome) -> None:
        """After each task."""
