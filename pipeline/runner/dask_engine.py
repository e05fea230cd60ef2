"""The one file that knows dask: the tasks of a plan on threads, processes or a cluster."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any

import dask
from distributed import (
    Client,
    Future,
    KilledWorker,
    LocalCluster,
    Nanny,
    Scheduler,
    SpecCluster,
    Status,
    Worker,
    get_worker,
)
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError

from pipeline.dag.spec import Stages
from pipeline.dag.task import Task, TaskId
from pipeline.errors import UserError
from pipeline.messages import one_line
from pipeline.runner.queue import TaskQueue
from pipeline.runner.stop import Stop, signals_hidden
from pipeline.runner.task import Blamed, execute
from pipeline.runner.types import Outcome
from pipeline.runner.worker_check import UnfitWorkerError, WorkerCheck
from pipeline.system import resources
from pipeline.system.device import device_of
from pipeline.system.spans import span

TASKS_A_THREAD = 2  # in flight: one that runs and one that waits
LOOK_EVERY_S = 2.0  # for workers that came or went
EMPTY_FOR_S = 4.0  # without workers, until that is told
LOCAL_CONFIG = {
    "distributed.scheduler.allowed-failures": 0,  # a task whose worker died runs alone next
    "distributed.deploy.lost-worker-timeout": "24h",  # its nanny brings it back, however slowly
    "distributed.worker.profile.enabled": False,  # nobody looks at its samples
}
QUIET = logging.CRITICAL  # what matters to a user is in the outcomes
ENDS_WITHIN_S = 30.0  # a worker's process that is told to
STARTS = 3  # of a worker process that dies while it starts
ON_LOOPBACK = "127.0.0.1:0"  # a free port that other machines don't see
SCHEDULER_LOST = (FutureCancelledError, CommClosedError)

log = logging.getLogger(__name__)


class DaskEngine:
    """Runs tasks on dask and yields their outcomes as they come.

    workers: None for threads in this process, else that many processes; scheduler: the address of
    a cluster that is there already; show: told once where the dashboard is, if there is one.
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
            with span("start workers"):
                client = stack.enter_context(self._client())
            if address := _dashboard(client):
                self.show(f"dask's dashboard: {address}")
            check, workers = WorkerCheck.of(tasks), _Workers(client)
            run = _Run(client, tasks, check, stop, workers)
            try:
                with span("check workers"):
                    workers.look()
                    _check_workers(client, check, workers.gpu)
                yield from run
            except SCHEDULER_LOST:
                yield from run.lost(f"the dask scheduler at {self.scheduler} went away")

    @contextmanager
    def _client(self) -> Iterator[Client]:
        if self.scheduler:
            with _quiet(), _connected(self.scheduler) as client:
                yield client
            return
        with (
            dask.config.set(LOCAL_CONFIG),
            _local_cluster(self.workers) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client


def _connected(address: str) -> Client:
    try:
        return Client(address, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no dask scheduler answers at {address!r} ({error}); start one with "
            "`dask scheduler` and its workers with `dask worker ADDRESS`"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without dask's own reports of a lost connection: each try is told, with tracebacks."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(QUIET)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _local_cluster(workers: int | None) -> LocalCluster | SpecCluster:
    """One worker in this process with a thread a core, or that many processes."""
    with signals_hidden():
        if workers is not None:
            return _processes(workers)
        return LocalCluster(
            n_workers=1,
            threads_per_worker=resources.cores(),
            processes=False,
            resources={"GPU": 1} if device_of("auto") == "cuda" else {},
            dashboard_address=ON_LOOPBACK,
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,  # no limit of dask's own
            silence_logs=QUIET,
        )


def _processes(workers: int) -> SpecCluster:
    scheduler = {"host": "127.0.0.1", "dashboard_address": ON_LOOPBACK}
    try:
        return SpecCluster(
            workers={
                i: {"cls": _Nanny, "options": options}
                for i, options in enumerate(worker_options(workers))
            },
            scheduler={"cls": Scheduler, "options": scheduler},
            silence_logs=QUIET,
        )
    except RuntimeError as error:
        reason = one_line(error.__cause__ or error)
        raise UserError(
            f"no worker process can be started ({reason}); give fewer with --workers if there is "
            "too little memory"
        ) from None


class _Nanny(Nanny):
    """Starts its worker process again where that dies while it starts."""

    async def instantiate(self) -> Status:
        for _ in range(STARTS - 1):
            if (status := await super().instantiate()) == Status.running:
                return status
        return await super().instantiate()


def worker_options(workers: int) -> list[dict[str, Any]]:
    """Of each process: one thread; the first few have an accelerator each, as far as they go."""
    every = {"nthreads": 1, "memory_limit": 0, "silence_logs": QUIET}
    options: list[dict[str, Any]] = [dict(every) for _ in range(workers)]
    accelerators = _accelerators() if device_of("auto") == "cuda" else []
    for option, accelerator in zip(options, accelerators, strict=False):
        option |= {"resources": {"GPU": 1}, "env": {"CUDA_VISIBLE_DEVICES": accelerator}}
    return options


def _accelerators() -> list[str]:
    """The devices that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    # torch is heavy, and known to be there only once a device was found.
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(i) for i in range(torch.cuda.device_count())]


def _dashboard(client: Client) -> str:
    """Where the cluster's dashboard is; "" where it has none, as without bokeh."""

    # Sent as code, not by name: a scheduler needs nothing of this project's.
    def is_served(dask_scheduler: Scheduler) -> bool:
        return bool(dask_scheduler.http_application.applications)

    return client.dashboard_link if client.run_on_scheduler(is_served) else ""


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
        check: WorkerCheck,
        stop: Stop,
        workers: _Workers,
    ) -> None:
        self._client, self._check, self._stop, self._workers = client, check, stop, workers
        self._accelerated = {s.name for s in Stages(tasks[0].spec) if s.device != "cpu"}
        self._queue = TaskQueue(tasks)
        self._running: dict[Future, Task] = {}
        self._suspects: list[Task] = []
        self._alone: set[TaskId] = set()
        self._blamed: dict[TaskId, dict[int, str]] = {}
        self._finished: SimpleQueue[Future] = SimpleQueue()

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
        while len(self._running) < TASKS_A_THREAD * threads and (task := self._queue.take(threads)):
            self._give_out(task)
        if self._suspects and not self._running:
            self._alone.add(self._suspects[0].id)
            self._give_out(self._suspects.pop(0))

    def _give_out(self, task: Task) -> None:
        is_blocked = self._queue.is_blocked(task)
        own = (task, self._check, self._blamed.get(task.id))
        work = (Outcome.blocked, task) if is_blocked else (_work, *own)
        holds = {"GPU": 1} if task.stage in self._accelerated and self._workers.gpu else None
        future = self._client.submit(*work, pure=False, resources=holds)
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
            # Not `future.status`: a result is lost, and made again, with the worker that has it.
            outcome: Outcome = future.result(timeout=LOOK_EVERY_S)
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


class _Workers:
    """A cluster's threads and whether it has accelerators, looked up every few seconds.

    Where none answers for a moment, the threads that there were stand: tasks wait at the scheduler.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._looked = float("-inf")
        self._empty_since: float | None = None
        self._told = False
        self.threads = 0
        self.gpu = False

    def end(self, address: str, key: Any) -> bool:
        """End a worker's process, which its nanny replaces; whether it went.

        key: of the task that ran there, for which nobody may ask any more.
        """

        # Sent as code, not by name: a scheduler needs nothing of this project's.
        def left(dask_scheduler: Scheduler) -> tuple[bool, bool]:
            return key in dask_scheduler.tasks, address in dask_scheduler.workers

        until = time.monotonic() + ENDS_WITHIN_S
        while any(found := self._client.run_on_scheduler(left)):
            if time.monotonic() > until:
                return False
            if not found[0]:
                self._client.run(os._exit, 1, workers=[address], on_error="ignore")
            time.sleep(LOOK_EVERY_S / 10)
        return True

    def look(self) -> None:
        """Look again, where the last time is a while ago; say so where there are no workers."""
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        threads, gpu = _counted(self._client)
        self._looked = time.monotonic()
        if threads:
            self.threads, self.gpu = threads, gpu
            self._empty_since, self._told = None, False
            return
        self._empty_since = self._empty_since or self._looked
        if self._looked - self._empty_since >= EMPTY_FOR_S and not self._told:
            address = self._client.scheduler.address
            log.warning("%s has no workers: waiting; start one: dask worker %s", address, address)
            self._told = True


def _counted(client: Client) -> tuple[int, bool]:
    """How many threads the workers have in all, and whether one declares an accelerator.

    Not `client.scheduler_info()`: between asking and reading, the client's own periodic look, which
    asks for no workers, may put its answer in that one's place.
    """

    # Sent as code, not by name: a scheduler needs nothing of this project's.
    def count(dask_scheduler: Scheduler) -> tuple[int, bool]:
        workers = dask_scheduler.workers.values()
        return sum(w.nthreads for w in workers), any("GPU" in w.resources for w in workers)

    counted: tuple[int, bool] = client.run_on_scheduler(count)
    return counted


def _check_workers(client: Client, check: WorkerCheck, gpu: bool) -> None:
    """Ask every worker whether it can work for the run; wait for what an earlier run left there.

    gpu: whether workers declare accelerators; then only those are asked for devices. A worker that
    joins later is asked before its first task.
    """
    told = False
    while True:
        answers = client.run(_answer, check, gpu, on_error="return")
        for address, answer in answers.items():
            if isinstance(answer, UserError):
                raise answer
            if isinstance(answer, Exception):
                reason = one_line(answer, with_kind=True)
                raise UserError(
                    f"the worker {address} can't run tasks ({reason}); start it in an environment "
                    "with the same smp-sentiment"
                )
        if not (left := sum(answers.values())):
            return
        if not told:
            log.warning("waiting for %d partitions that an earlier run left running", left)
        told = True
        time.sleep(LOOK_EVERY_S / 4)


_working_for: list[str] = []  # in this worker process: the cache of each task that runs


def _answer(check: WorkerCheck, gpu: bool, dask_worker: Worker) -> int:
    _checked(check)
    if not gpu or "GPU" in dask_worker.state.total_resources:
        check.check_devices()
    return _working_for.count(check.cache_url)


def _work(task: Task, check: WorkerCheck, blamed: Blamed | None) -> Outcome:
    _checked(check)
    worker = get_worker()
    _working_for.append(check.cache_url)
    try:
        outcome = execute(task, worker.state.nthreads, blamed)
    finally:
        _working_for.remove(check.cache_url)
    if outcome.fault and worker.nanny:
        return replace(outcome, fault=replace(outcome.fault, worker=worker.address))
    return outcome


@lru_cache(maxsize=8)
def _checked(check: WorkerCheck) -> None:
    """Once a process and run; what raises is not remembered."""
    check.check()


def _killed(task: Task) -> str:
    clips = ", ".join(row.clip.id for row in task.rows)
    return (
        f"its worker died every time, last with nothing else running; one of its clips ({clips}) "
        "kills it, or there is too little memory"
    )
