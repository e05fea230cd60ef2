"""The workers of a cluster: how many threads they have, whether they are fit, what each runs."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import time
from dataclasses import replace
from functools import lru_cache
from typing import Any

from distributed import Client, Scheduler, Worker, get_worker

from pipeline.dag.task import Task
from pipeline.errors import UserError
from pipeline.messages import one_line
from pipeline.runner.task import Blamed, execute
from pipeline.runner.types import Outcome
from pipeline.runner.worker_check import WorkerCheck
from pipeline.system.memory import keep_freed_layers

LOOK_EVERY_S = 2.0  # for workers that came or went
EMPTY_FOR_S = 4.0  # without workers, until that is told
ENDS_WITHIN_S = 30.0  # a worker's process that is told to
OUTCOMES = "smp-outcomes"  # a topic for all runs: a scheduler keeps the last 1,000 events of each

log = logging.getLogger(__name__)


class Workers:
    """How many threads and accelerators a cluster has, looked up every few seconds.

    Where none answers for a moment, the threads that there were stand: tasks wait at the scheduler.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._looked = float("-inf")
        self._empty_since: float | None = None
        self._told = False
        self.threads = 0
        self.gpus = 0

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
        threads, gpus = _counted(self._client)
        self._looked = time.monotonic()
        if threads:
            self.threads, self.gpus = threads, gpus
            self._empty_since, self._told = None, False
            return
        self._empty_since = self._empty_since or self._looked
        if self._looked - self._empty_since >= EMPTY_FOR_S and not self._told:
            address = self._client.scheduler.address
            log.warning("%s has no workers: waiting; start one: dask worker %s", address, address)
            self._told = True


def _counted(client: Client) -> tuple[int, int]:
    """How many threads the workers have in all, and how many accelerators they declare.

    Not `client.scheduler_info()`: between asking and reading, the client's own periodic look, which
    asks for no workers, may put its answer in that one's place.
    """

    # Sent as code, not by name: a scheduler needs nothing of this project's.
    def count(dask_scheduler: Scheduler) -> tuple[int, int]:
        workers = dask_scheduler.workers.values()
        gpus = sum(w.resources.get("GPU", 0) for w in workers)
        return sum(w.nthreads for w in workers), int(gpus)

    counted: tuple[int, int] = client.run_on_scheduler(count)
    return counted


def check_workers(client: Client, check: bytes, gpu: bool) -> list[str]:
    """Ask every worker whether it can work for the run; wait for what an earlier run left there.

    check: a `WorkerCheck`, packed. gpu: whether workers declare accelerators; then only those are
    asked for devices. A worker that joins later is asked before its first task. The devices that
    they use, but for processors.
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
        if not (left := sum(left for left, _ in answers.values())):
            return [device for _, devices in answers.values() for device in devices]
        if not told:
            log.warning("waiting for %d partitions that an earlier run left running", left)
        told = True
        time.sleep(LOOK_EVERY_S / 4)


_working_for: list[str] = []  # in this worker process: the cache of each task that runs


def _answer(packed: bytes, gpu: bool, dask_worker: Worker) -> tuple[int, list[str]]:
    """How many partitions the worker is at for the cache, and which devices it uses."""
    check = _checked(packed)
    is_asked = not gpu or "GPU" in dask_worker.state.total_resources
    devices = check.check_devices() if is_asked else []
    return _working_for.count(check.cache_url), devices


def packed(key: str, task: Task, blamed: Blamed | None) -> bytes:
    """A task as it is sent: packed once, not again by each who passes it on."""
    return pickle.dumps((key, task, blamed))


async def work(task: bytes, check: bytes) -> Outcome:
    """Carry out a task in a thread of this worker, and tell its outcome under the task's key.

    So it comes with the word that the task is done; to ask for it takes four messages more.
    check: a `WorkerCheck`, packed as the task is.
    """
    worker = get_worker()
    thread = asyncio.get_running_loop().run_in_executor
    key, outcome = await thread(worker.executors["default"], _work, worker, task, check)
    worker.log_event(OUTCOMES, [key, pickle.dumps(outcome)])
    return outcome


def _work(worker: Worker, packed_task: bytes, packed_check: bytes) -> tuple[str, Outcome]:
    key, task, blamed = pickle.loads(packed_task)
    check = _checked(packed_check)
    if worker.nanny:  # which has its process give back all but 64 KiB (MALLOC_TRIM_THRESHOLD_)
        keep_freed_layers()
    _working_for.append(check.cache_url)
    try:
        outcome = execute(task, worker.state.nthreads, blamed)
    finally:
        _working_for.remove(check.cache_url)
    if outcome.fault and worker.nanny:
        outcome = replace(outcome, fault=replace(outcome.fault, worker=worker.address))
    return key, outcome


@lru_cache(maxsize=8)
def _checked(packed: bytes) -> WorkerCheck:
    """Unpacked and met, once a process and run; what raises is not remembered."""
    check: WorkerCheck = pickle.loads(packed)
    check.check()
    return check
