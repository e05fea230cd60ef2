"""The cluster that tasks run on: threads of this process, processes, or one that is there."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, LocalCluster, Nanny, Scheduler, SpecCluster, Status

from pipeline.errors import UserError
from pipeline.messages import one_line
from pipeline.runner.stop import signals_hidden
from pipeline.system import resources
from pipeline.system.device import device_of

LOCAL_CONFIG = {
    "distributed.scheduler.allowed-failures": 0,  # a task whose worker died runs alone next
    "distributed.deploy.lost-worker-timeout": "24h",  # its nanny brings it back, however slowly
    "distributed.worker.profile.enabled": False,  # nobody looks at its samples
    "distributed.admin.tick.interval": "1s",  # nor at how late each loop is, fifty times a second
}
QUIET = logging.CRITICAL  # what matters to a user is in the outcomes
STARTS = 3  # of a worker process that dies while it starts
ON_LOOPBACK = "127.0.0.1:0"  # a free port that other machines don't see


@contextmanager
def connected(workers: int | None, scheduler: str | None) -> Iterator[Client]:
    """A client of a cluster of one's own, as many processes as `workers`, or of a scheduler."""
    if scheduler:
        with quiet(), _connected(scheduler) as client:
            yield client
        return
    with (
        dask.config.set(LOCAL_CONFIG),
        local_cluster(workers) as cluster,
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
def quiet() -> Iterator[None]:
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


def local_cluster(workers: int | None) -> LocalCluster | SpecCluster:
    """One worker in this process with a thread a core, or that many processes."""
    with signals_hidden():
        if workers is not None:
            return _processes(workers)
        return LocalCluster(
            n_workers=1,
            threads_per_worker=resources.cores(),
            processes=False,
            resources={"GPU": len(gpus)} if (gpus := _accelerators()) else {},
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

    async def _on_worker_exit(self, exitcode: int) -> None:
        # dask before 2026.7 starts another one here, beside the first start, which never ends then.
        if self.status not in (Status.init, Status.starting):
            await super()._on_worker_exit(exitcode)


def worker_options(workers: int) -> list[dict[str, Any]]:
    """Of each process: one thread; the first few share out the accelerators and all the cores.

    Nearly all work is theirs, then: what the others do beside them is little.
    """
    every = {"nthreads": 1, "memory_limit": 0, "silence_logs": QUIET}
    options: list[dict[str, Any]] = [dict(every) for _ in range(workers)]
    accelerators = _accelerators()
    feeding = options[: len(accelerators)]
    for i, option in enumerate(feeding):
        own = accelerators[i::workers]
        option["nthreads"] = max(1, resources.cores() // len(feeding))
        option["resources"] = {"GPU": len(own)}
        option["env"] = {"CUDA_VISIBLE_DEVICES": ",".join(own)}
    return options


def _accelerators() -> list[str]:
    """The CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if device_of("auto") != "cuda":
        return []
    # torch is heavy, and known to be there only once a device was found.
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(i) for i in range(torch.cuda.device_count())]


def dashboard(client: Client) -> str:
    """Where the cluster's dashboard is; "" where it has none, as without bokeh."""

    # Sent as code, not by name: a scheduler needs nothing of this project's.
    def is_served(dask_scheduler: Scheduler) -> bool:
        return bool(dask_scheduler.http_application.applications)

    return client.dashboard_link if client.run_on_scheduler(is_served) else ""
