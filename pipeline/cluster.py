"""The one file that knows dask: the tasks of a plan on threads, processes or a cluster."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from heapq import heappop, heappush
from multiprocessing import resource_tracker

from distributed import Client, Future, LocalCluster, as_completed

from pipeline.errors import UserError
from pipeline.plan import Task, TaskId, in_order
from pipeline.run import Outcome, blocked, execute, failure
from pipeline.stages import Stages, uses_accelerator
from pipeline.stop import Stop
from pipeline.weights import device_of

TASKS_A_THREAD = 2  # in flight: one that runs and one that waits


class DaskEngine:
    """Runs tasks on dask and yields their outcomes as they come.

    workers: None for threads in this process, else that many processes; scheduler: the address of
    a cluster that is there already.
    """

    def __init__(self, workers: int | None = None, scheduler: str | None = None) -> None:
        self.workers = workers
        self.scheduler = scheduler

    def __call__(self, tasks: Sequence[Task], stop: Stop) -> Iterator[Outcome]:
        with self._client() as client:
            yield from _run(client, tasks, stop)

    @contextmanager
    def _client(self) -> Iterator[Client]:
        if self.scheduler:
            with self._connected(self.scheduler) as client:
                yield client
            return
        cores = os.cpu_count() or 1
        options = {
            "dashboard_address": "127.0.0.1:0",
            "resources": _resources(),
            "silence_logs": logging.CRITICAL,  # what matters to a user is in the outcomes
        }
        if self.workers is None:
            size = {"n_workers": 1, "threads_per_worker": cores, "processes": False}
        else:
            size = {"n_workers": self.workers, "threads_per_worker": 1, "processes": True}
        with _deaf_to_interrupts():
            started = LocalCluster(**size, **options)
        with (
            started as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client

    def _connected(self, address: str) -> Client:
        try:
            return Client(address, set_as_default=False)
        except (OSError, ValueError) as error:
            raise UserError(
                f"no dask scheduler answers at {address!r} ({error}); start one with "
                "`dask scheduler` and its workers with `dask worker ADDRESS`"
            ) from None


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Have threads and processes that are begun within never see the Ctrl-C of a terminal.

    It goes to all processes, but whether the workers may finish is this one's decision. They
    inherit the mask, those too that dask begins later in a dead one's place.
    """
    resource_tracker.ensure_running()  # which unblocks the signal where it is begun later
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(client: Client, tasks: Sequence[Task], stop: Stop) -> Iterator[Outcome]:
    """Submit what is ready through a bounded window: resources bypass dask's own queue."""
    by_id = {task.id: task for task in tasks}
    required = _required(client, tasks)
    window = TASKS_A_THREAD * max(1, sum(client.nthreads().values()))
    sorter = in_order(tasks)
    queue: list[TaskId] = []
    failed: set[TaskId] = set()
    running: dict[Future, Task] = {}
    completed = as_completed(loop=client.loop)
    while sorter.is_active():
        for ready in sorter.get_ready():
            heappush(queue, ready)
        while queue and len(running) < window and not stop.asked:
            task = by_id[heappop(queue)]
            work = blocked if failed.intersection(task.waits_for) else execute
            future = client.submit(work, task, pure=False, resources=required[task.stage])
            running[future] = task
            completed.add(future)
        if not running:  # the run was stopped
            return
        future = next(completed)
        task = running.pop(future)
        outcome = _result(future, task)
        if outcome.error:
            failed.add(task.id)
        sorter.done(task.id)
        yield outcome


def _result(future: Future, task: Task) -> Outcome:
    """The task's outcome; a worker that died for good costs this partition alone."""
    try:
        outcome: Outcome = future.result()
        return outcome
    except Exception as error:
        message = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return failure(task, message)


def _resources() -> dict[str, float]:
    return {"GPU": 1} if device_of("auto") == "cuda" else {}


def _required(client: Client, tasks: Sequence[Task]) -> dict[str, dict[str, float] | None]:
    """A task on an accelerator holds the worker resource `GPU`, where workers declare one."""
    workers = client.scheduler_info()["workers"].values()
    has_gpu = any("GPU" in worker.get("resources", {}) for worker in workers)
    stages = {task.stage: task.spec for task in tasks}
    return {
        name: {"GPU": 1} if has_gpu and uses_accelerator(Stages(spec)[name]) else None
        for name, spec in stages.items()
    }
