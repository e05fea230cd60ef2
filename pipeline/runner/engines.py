"""Which engine runs a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from pipeline.dag.task import Task
from pipeline.errors import UserError
from pipeline.runner.serial import run_serially
from pipeline.runner.stop import Stop
from pipeline.runner.types import Engine, Outcome
from pipeline.system.spans import span


def choose(
    serial: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    show: Callable[[str], object] = lambda line: None,
) -> Engine:
    """The plain loop, or dask on threads, on processes or on a cluster.

    show: told where dask's dashboard is, and which accelerators are used. Raises UserError where
    several are asked for.
    """
    if sum((serial, workers is not None, scheduler is not None)) > 1:
        raise UserError("give one of --serial, --workers and --scheduler")
    if serial:
        return partial(run_serially, show=show)

    def run_on_dask(tasks: Sequence[Task], stop: Stop) -> Iterable[Outcome]:
        # dask takes a second to import: only where there is something to run.
        with span("import"):
            from pipeline.runner.dask_engine import DaskEngine

        return DaskEngine(workers, scheduler, show)(tasks, stop)

    return run_on_dask


def stopped_by_signals(engine: Engine) -> Engine:
    """The engine, which takes the first Ctrl-C or SIGTERM for the wish to stop."""

    def run(tasks: Sequence[Task], stop: Stop) -> Iterator[Outcome]:
        with stop.on_signals():
            yield from engine(tasks, stop)

    return run
