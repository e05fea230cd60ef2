"""The tasks of a plan on their way through a cluster."""

from __future__ import annotations

import gc
import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from queue import Empty, SimpleQueue
from uuid import uuid4

from distributed import Client, Future, KilledWorker
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError

from pipeline.dag.spec import Stages
from pipeline.dag.task import Task, TaskId
from pipeline.faces.windows import WINDOW_PX
from pipeline.messages import one_line
from pipeline.runner.dask_engine.cluster import connected, dashboard
from pipeline.runner.dask_engine.workers import (
    LOOK_EVERY_S,
    OUTCOMES,
    Workers,
    check_workers,
    packed,
    work,
)
from pipeline.runner.queue import TaskQueue
from pipeline.runner.stop import Stop
from pipeline.runner.types import Outcome, devices_told
from pipeline.runner.worker_check import UnfitWorkerError, WorkerCheck
from pipeline.system import resources
from pipeline.system.spans import span

TASKS_A_THREAD = 2  # in flight: one that runs and one that waits
TASKS_A_GPU = (8, 4, 2, 1)  # at once: one computes there, the others decode. Exact shares of one
TASK_BYTES = 32 * 3 * WINDOW_PX  # of RAM at most: what `faces` holds of 32 clips
SCHEDULER_LOST = (FutureCancelledError, CommClosedError)

log = logging.getLogger(__name__)


class DaskEngine:
    """Runs tasks on dask and yields their outcomes as they come.

    workers: None for threads in this process, else that many processes; scheduler: the address of
    a cluster that is there already; show: told once where the dashboard is, if there is one, and
    which devices are used, beside processors.
    Raises UserError where no scheduler answers, and where a worker does not see the cache or would
    compute something else.
    """

    def __init__(
        self,
        workers: int | None = None,
        scheduler: str | None = None,
        show: Callable[[str], object] = lambda line: None,
    ) -> None:
        self.workers, self.scheduler, self.show = workers, scheduler, show

    def __call__(self, tasks: Sequence[Task], stop: Stop) -> Iterator[Outcome]:
        with ExitStack() as stack:
            # Else the collector goes through all libraries, again and again: 0.7 ms a partition.
            gc.freeze()
            stack.callback(gc.unfreeze)
            with span("start workers"):
                client = stack.enter_context(connected(self.workers, self.scheduler))
            if address := dashboard(client):
                self.show(f"dask's dashboard: {address}")
            check, workers = pickle.dumps(WorkerCheck.of(tasks)), Workers(client)
            run = _Run(client, tasks, check, stop, workers)
            try:
                with span("check workers"):
                    workers.look()
                    devices = check_workers(client, check, bool(workers.gpus))
                if devices:
                    self.show(devices_told(devices))
                yield from run
            except SCHEDULER_LOST:
                yield from run.lost(f"the dask scheduler at {self.scheduler} went away")


class _Run:
    """The tasks of a plan on their way through a cluster, in a bounded window.

    The window is ours, as tasks that hold a resource bypass dask's own queue. A task whose worker
    dies is given out again by dask. One that dask gives up runs once more with nothing beside it,
    as it may only have waited behind the one that kills; if its worker dies then too, the task has
    failed and the run goes on.
    """

    def __init__(
        self,
        client: Client,
        tasks: Sequence[Task],
        check: bytes,
        stop: Stop,
        workers: Workers,
    ) -> None:
        self._client, self._check, self._stop, self._workers = client, check, stop, workers
        self._accelerated = {s.name for s in Stages(tasks[0].spec) if s.device != "cpu"}
        self._queue = TaskQueue(tasks)
        self._running: dict[Future, Task] = {}
        self._suspects: list[Task] = []
        self._alone: set[TaskId] = set()
        self._blamed: dict[TaskId, dict[int, str]] = {}
        self._finished: SimpleQueue[Future] = SimpleQueue()
        self._told: dict[str, bytes] = {}
        client.subscribe_topic(OUTCOMES, self._listen)

    def __iter__(self) -> Iterator[Outcome]:
        while self._queue:
            self._workers.look()
            if not self._stop.asked:
                self._submit()
            elif not self._running:
                return
            if outcome := self._next():
                self._queue.done(outcome.id, failed=bool(outcome.error))
                yield outcome

    def lost(self, reason: str) -> Iterator[Outcome]:
        """The outcomes of what was under way when the scheduler was lost."""
        yield from (Outcome.failed(task, reason) for task in self._running.values())

    def _submit(self) -> None:
        is_one_alone = any(task.id in self._alone for task in self._running.values())
        # What met a fault goes first: the machine may be unfit for all that follows.
        is_one_due = any(task.id in self._blamed for task in self._suspects)
        threads = 0 if is_one_alone or is_one_due else self._workers.threads
        most, at_once = TASKS_A_THREAD * threads, self._at_once
        while len(self._running) < most and (task := self._queue.take(at_once)):
            self._give_out(task)
        if self._suspects and not self._running:
            self._alone.add(self._suspects[0].id)
            self._give_out(self._suspects.pop(0))

    @cached_property
    def _tasks_a_gpu(self) -> int:
        return tasks_a_gpu(self._workers.gpus)

    @property
    def _at_once(self) -> int:
        """Tasks of the stages that most of the work is in."""
        return self._workers.gpus * self._tasks_a_gpu or self._workers.threads

    def _give_out(self, task: Task) -> None:
        is_blocked = self._queue.is_blocked(task)
        key = f"{task.stage}-{uuid4()}"
        own = packed(key, task, self._blamed.get(task.id)), self._check
        what = (Outcome.blocked, task) if is_blocked else (work, *own)
        is_accelerated = task.stage in self._accelerated and self._workers.gpus
        future = self._client.submit(
            *what,
            key=key,
            resources={"GPU": 1 / self._tasks_a_gpu} if is_accelerated else None,
            # Else what is ready late, as a network on the first faces, goes behind all that waits.
            priority=-self._queue.rank(task.id, self._at_once),
        )
        self._running[future] = task
        future.add_done_callback(self._finished.put)

    def _next(self) -> Outcome | None:
        """The next outcome; None where none came for a while, or a task has to run again."""
        try:
            future = self._finished.get(timeout=LOOK_EVERY_S)
        except Empty:
            return None
        task = self._running[future]
        try:
            outcome = self._outcome(future)
        except TimeoutError:
            future.add_done_callback(self._finished.put)
            return None
        except (UnfitWorkerError, *SCHEDULER_LOST):
            raise
        except KilledWorker:
            del self._running[future]
            if task.id not in self._alone:
                self._suspects.append(task)
                return None
            return Outcome.failed(task, _killed(task))
        except Exception as error:
            outcome = Outcome.failed(task, one_line(error, with_kind=True))
        del self._running[future]
        return None if self._runs_again(task, outcome, future) else outcome

    def _listen(self, event: tuple[float, tuple[str, bytes]]) -> None:
        key, outcome = event[1]
        if key in self._client.futures:  # not of another run on the same scheduler
            self._told[key] = outcome

    def _outcome(self, future: Future) -> Outcome:
        """Of a task that is done: what its worker told, or else its result, which may raise."""
        told = self._told.pop(future.key, None)
        # Not `future.status`: a result is lost, and made again, with the worker that has it.
        outcome: Outcome = pickle.loads(told) if told else future.result(timeout=LOOK_EVERY_S)
        return outcome

    def _runs_again(self, task: Task, outcome: Outcome, future: Future) -> bool:
        """Whether a task that met a fault of the machine is to run again, in a fresh process.

        First clip by clip; then, where one of them met the fault again, without that one.
        """
        fault, blamed = outcome.fault, self._blamed.get(task.id)
        if fault is None or fault.no_place or not fault.worker:
            return False
        if blamed is not None and (blamed or fault.row is None):
            return False
        future.release()  # else dask makes what is lost with its worker again, in the fresh process
        if not self._workers.end(fault.worker, future.key):
            return False
        self._blamed[task.id] = {}
        if blamed is not None and fault.row is not None:
            again = "(twice, the second time in a fresh process)"
            self._blamed[task.id] = {fault.row: f"{outcome.error} {again}"}
        log.warning(
            "%s, partition %d: %s; trying again in a fresh process",
            task.stage, task.partition, outcome.error,
        )  # fmt: skip
        self._suspects.insert(0, task)
        return True


def tasks_a_gpu(gpus: int) -> int:
    """How many tasks share an accelerator, as far as memory is free; on a cluster, that of here."""
    room = resources.free_bytes() // (max(gpus, 1) * TASK_BYTES)
    return next((n for n in TASKS_A_GPU if n <= room), 1)


def _killed(task: Task) -> str:
    clips = ", ".join(row.clip.id for row in task.rows)
    return (
        f"its worker died every time, last with nothing else running; one of its clips ({clips}) "
        "kills it, or there is too little memory"
    )
