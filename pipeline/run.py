"""One task, from its clips to its commit, and the plain loop over a plan."""

from __future__ import annotations

import errno
import gc
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from pipeline.cache import store_url
from pipeline.commit import Commit
from pipeline.errors import ClipError, DamagedError, UserError
from pipeline.extractor import ClipInputs, ClipResult, Extractor
from pipeline.inputs import gather
from pipeline.plan import Task, TaskId
from pipeline.stages import Stage, Stages
from pipeline.stop import Stop
from pipeline.store import Store
from pipeline.task_queue import TaskQueue
from pipeline.threads import at_work, spread
from pipeline.trace import STAGE, Recording, recorded, span

THREADS_A_TASK = 1
NO_PLACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED")  # as torch says it
MACHINE_ERRORS = {*NO_PLACE, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    error: why the whole partition is not there; then it has no commit. no_place: because nothing
    can be written to the cache, so that any further partition would be computed in vain.
    recordings: what was done when, in each thread, where the task is traced.
    """

    stage: str
    partition: int
    rows: int
    counts: Mapping[str, int]
    seconds: float
    error: str = ""
    no_place: bool = False
    recordings: tuple[Recording, ...] = ()


Engine = Callable[[Sequence[Task], Stop], Iterable[Outcome]]


def run_serially(tasks: Sequence[Task], stop: Stop) -> Iterator[Outcome]:
    """Run the tasks one after the other: what every other engine must equal."""
    failed: set[TaskId] = set()
    queue = TaskQueue(tasks)
    while not stop.asked and (task := queue.take()):
        outcome = blocked(task) if failed.intersection(task.waits_for) else execute(task)
        if outcome.error:
            failed.add(task.id)
        queue.done(task.id)
        yield outcome


def blocked(task: Task) -> Outcome:
    """The outcome of a task whose upstream partition could not be made."""
    return failure(task, "what it needs could not be made")


def failure(task: Task, error: str, seconds: float = 0.0) -> Outcome:
    """The outcome of a task that left no commit."""
    return Outcome(task.stage, task.partition, len(task.rows), {}, seconds, error)


def execute(task: Task, threads: int = 1) -> Outcome:
    """Make one partition: read what it needs, extract, write, commit.

    Clips whose committed row is still valid keep it. A UserError or a fault of the machine (a
    full disk, say) is the task's and leaves it without a commit; any other is a clip's.
    threads: how many of this process may compute at once; those that idle help with the clips.
    """
    with (
        at_work(threads),
        recorded(task.traced) as recording,
        span(task.stage, STAGE, partition=task.partition, clips=len(task.rows)) as about,
    ):
        outcome = _executed(task)
        about.update(outcome.counts, **({"error": outcome.error} if outcome.error else {}))
    return replace(outcome, recordings=(recording, *recording.beside)) if recording else outcome


def _executed(task: Task) -> Outcome:
    started = time.perf_counter()
    try:
        _limit_threads()
        commit = _make(task)
    except (UserError, OSError, MemoryError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        outcome = failure(task, message, time.perf_counter() - started)
        return replace(outcome, no_place=getattr(error, "errno", None) in NO_PLACE)
    counts = Counter(row.state for row in commit.rows)
    seconds = time.perf_counter() - started
    return Outcome(task.stage, task.partition, len(task.rows), dict(counts), seconds)


def _make(task: Task) -> Commit:
    stages = _stages(json.dumps(task.spec, ensure_ascii=False))
    stage = stages[task.stage]
    _require_as_planned(stages, task)
    store = _opened(task.stores[task.stage], task.clips, threading.get_ident())
    results = _kept(store, task)
    kept = set(results)
    if len(results) == len(task.rows) and (commit := store.commit(task.partition)):
        return commit  # given out again: the worker died after its commit
    inputs: dict[int, ClipInputs] = {}
    with span("read"):
        gathered = gather(stages, stage, task)
    for row, given in enumerate(gathered):
        if row in results:
            continue
        if isinstance(given, ClipResult):
            results[row] = given
        else:
            inputs[row] = given
    results.update(zip(inputs, _extract(stage, list(inputs.values())), strict=True))
    results.update(_overtaken(task, results.keys() - kept))
    keys = [row.key for row in task.rows]
    with span("write"):
        return store.write(task.partition, keys, [results[row] for row in range(len(keys))])


def _require_as_planned(stages: Stages, task: Task) -> None:
    """Raise UserError where this process has other weights or code than the plan was made with."""
    identities = stages.identities(stages.chosen([task.stage]))
    url = store_url("", task.stage, identities[task.stage]["fingerprint"])
    if not task.stores[task.stage].endswith(url):
        raise UserError(
            f"stage {task.stage!r}: on {socket.gethostname()} it would be {url}, not "
            f"{task.stores[task.stage]} as planned: weights or code differ; run again, on a "
            "cluster with the same on all machines"
        )


@lru_cache(maxsize=64)
def _opened(url: str, clips: int, thread: int) -> Store:
    """A store as each thread keeps it from task to task, for as long as it has so many clips."""
    return Store(url)


@lru_cache(maxsize=8)
def _stages(spec: str) -> Stages:
    return Stages(json.loads(spec))


def _kept(store: Store, task: Task) -> dict[int, ClipResult]:
    """The results of the partition's earlier commit that are still valid, by row."""
    commit = store.commit(task.partition)
    if commit is None:
        return {}
    held = {key: i for i, key in enumerate(commit.keys)}
    rows = [(i, row) for i, row in enumerate(task.rows) if not row.again]
    wanted = {i: held[row.key] for i, row in rows if row.key in held}
    try:
        earlier = list(store.rows(task.partition)) if wanted else []
    except DamagedError:  # then they are made again
        return {}
    return {i: earlier[j] for i, j in wanted.items()}


def _overtaken(task: Task, rows: Iterable[int]) -> dict[int, ClipResult]:
    """A failure for each clip whose file is not what it was when its key was made."""
    return {
        row: ClipResult.failed(f"{file.path} changed while this ran; run again")
        for row in rows
        for file in task.rows[row].files
        if not file.is_unchanged()
    }


def _extract(stage: Stage, inputs: list[ClipInputs]) -> list[ClipResult]:
    """One checked result a clip.

    Where memory runs out the batch is halved; where it raises otherwise, the clips are tried one
    by one.
    """
    if not inputs:
        return []
    try:
        results = _in_portions(stage.make(), inputs)
        if len(results) != len(inputs):
            raise TypeError(f"{len(results)} results for {len(inputs)} clips")
        return [_finite(result) for result in results]
    except UserError:
        raise
    except Exception as raised:
        error = raised.with_traceback(None)  # its frames hold the memory that the next try needs
    if _is_out_of_memory(error):
        _free_memory()
        return _in_halves(stage, inputs, str(error))
    if len(inputs) > 1:
        return [result for one in inputs for result in _extract(stage, [one])]
    if getattr(error, "errno", None) in MACHINE_ERRORS:  # no clip's fault
        raise error
    return [_of_error(error)]


def _in_portions(extractor: Extractor, inputs: list[ClipInputs]) -> list[ClipResult]:
    """The extractor's results; of clips that it takes portion by portion, on several threads."""
    size = extractor.portion() or len(inputs)
    portions = [inputs[i : i + size] for i in range(0, len(inputs), size)]
    parts = spread(lambda portion: list(extractor.extract(portion)), portions)
    return [result for part in parts for result in part]


def _in_halves(stage: Stage, inputs: list[ClipInputs], error: str) -> list[ClipResult]:
    """The results of half the clips and then of the other half, in batches of half the size."""
    settings = stage.settings.with_smaller_batches()
    if len(inputs) == 1 and settings == stage.settings:
        raise MemoryError(f"out of memory with one clip, {inputs[0].clip.id!r}: {error or 'RAM'}")
    smaller, middle = replace(stage, settings=settings), -(-len(inputs) // 2)
    return [*_extract(smaller, inputs[:middle]), *_extract(smaller, inputs[middle:])]


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, the machine's or the accelerator's; torch is not loaded to ask."""
    of_torch = isinstance(error, RuntimeError) and any(w in str(error) for w in OUT_OF_MEMORY)
    return isinstance(error, MemoryError) or of_torch


def _free_memory() -> None:
    """Give back what nothing refers to any more, on the accelerator too."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _of_error(error: Exception) -> ClipResult:
    if isinstance(error, ClipError):
        return ClipResult.of(error)
    return ClipResult.failed(f"{type(error).__name__}: {' '.join(str(error).split())}")


def _finite(result: ClipResult) -> ClipResult:
    """The result, failed where it holds a number that is none: it would poison a training run."""
    for name, row in result.rows.items():
        if np.asarray(row).dtype.kind == "f" and not np.isfinite(row).all():
            return ClipResult.failed(f"{name!r} holds NaN or infinite values")
    return result


@lru_cache(maxsize=1)
@span("import")
def _limit_threads() -> None:
    """One thread a task: tasks run side by side, and every engine gives the same bits."""
    # Imported here: a plan and a run that has nothing to do need neither.
    import cv2
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(THREADS_A_TASK, "blas")
    torch.set_num_threads(THREADS_A_TASK)
    cv2.setNumThreads(THREADS_A_TASK)
