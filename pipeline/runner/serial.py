"""The plain loop over a plan: what every other engine must equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pipeline.dag.stage import require_devices
from pipeline.dag.task import Task
from pipeline.runner.queue import TaskQueue
from pipeline.runner.stop import Stop
from pipeline.runner.task import execute, stages_of
from pipeline.runner.types import Outcome, devices_told


def run_serially(
    tasks: Sequence[Task], stop: Stop, show: Callable[[str], object] = lambda line: None
) -> Iterator[Outcome]:
    """Run the tasks one after the other. show: told which devices are used, beside processors.

    Raises UserError, before anything runs, where the device of a stage can't be used.
    """
    stages = stages_of(tasks[0])
    names = dict.fromkeys(task.stage for task in tasks)
    if devices := require_devices(stages[name] for name in names):
        show(devices_told(devices))
    queue = TaskQueue(tasks)
    while not stop.asked and (task := queue.take()):
        outcome = Outcome.blocked(task) if queue.is_blocked(task) else execute(task)
        queue.done(task.id, failed=bool(outcome.error))
        yield outcome
