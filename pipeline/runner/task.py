"""One task, from its clips to its commit, and the plain loop over a plan."""

from __future__ import annotations

import errno
import json
import socket
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from pipeline.dag.plan import Task, TaskId
from pipeline.dag.stage import Stage, Stages, require_devices
from pipeline.errors import DamagedError, StageError, UserError
from pipeline.messages import one_line
from pipeline.runner import under_way
from pipeline.runner.attempt import Attempt
from pipeline.runner.inputs import gather
from pipeline.runner.queue import TaskQueue
from pipeline.runner.stop import Stop
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.store.cache import store_url
from pipeline.store.commit import Commit
from pipeline.store.store import Store
from pipeline.system.process import one_thread_a_task
from pipeline.system.spans import STAGE, Recording, recorded, span
from pipeline.system.threads import at_work

FORESEEN = UserError | OSError | MemoryError  # their messages are for people
NO_PLACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    error: why the whole partition is not there; then it has no commit. no_place: because nothing
    can be written to the cache, so that any further partition would be computed in vain.
    recordings: what was done when, in each thread, where the task is traced. traces: the traceback
    of every kind of error that was not foreseen, whether it cost clips or the partition.
    """

    stage: str
    partition: int
    rows: int
    counts: Mapping[str, int]
    seconds: float
    error: str = ""
    no_place: bool = False
    recordings: tuple[Recording, ...] = ()
    traces: tuple[str, ...] = ()


Engine = Callable[[Sequence[Task], Stop], Iterable[Outcome]]


def run_serially(tasks: Sequence[Task], stop: Stop) -> Iterator[Outcome]:
    """Run the tasks one after the other: what every other engine must equal.

    Raises UserError, before anything runs, where the device of a stage can't be used.
    """
    require_devices(stages_of(tasks))
    failed: set[TaskId] = set()
    queue = TaskQueue(tasks)
    while not stop.asked and (task := queue.take()):
        outcome = blocked(task) if failed.intersection(task.waits_for) else execute(task)
        if outcome.error:
            failed.add(task.id)
        queue.done(task.id)
        yield outcome


def stages_of(tasks: Sequence[Task]) -> list[Stage]:
    """The stages of which there are tasks."""
    stages = _stages(json.dumps(tasks[0].spec, ensure_ascii=False))
    return [stages[name] for name in dict.fromkeys(task.stage for task in tasks)]


def blocked(task: Task) -> Outcome:
    """The outcome of a task whose upstream partition could not be made."""
    return failure(task, "what it needs could not be made")


def failure(task: Task, error: str, seconds: float = 0.0) -> Outcome:
    """The outcome of a task that left no commit."""
    return Outcome(task.stage, task.partition, len(task.rows), {}, seconds, error)


def execute(task: Task, threads: int = 1) -> Outcome:
    """Make one partition: read what it needs, extract, write, commit.

    Clips whose committed row is still valid keep it. What is no clip's fault (see `Attempt`) is the
    task's and leaves it without a commit.
    threads: how many of this process may compute at once; those that idle help with the clips.
    """
    with (
        at_work(threads),
        under_way.task(task.stage, task.partition),
        recorded(task.traced) as recording,
        span(task.stage, STAGE, partition=task.partition, clips=len(task.rows)) as about,
    ):
        outcome = _executed(task)
        about.update(outcome.counts, **({"error": outcome.error} if outcome.error else {}))
    return replace(outcome, recordings=(recording, *recording.beside)) if recording else outcome


def _executed(task: Task) -> Outcome:
    started, traces = time.perf_counter(), dict[str, str]()
    try:
        one_thread_a_task()
        commit = _make(task, traces)
    except Exception as error:
        if not isinstance(error, FORESEEN) or (isinstance(error, StageError) and not traces):
            traces[""] = traceback.format_exc()
        outcome = failure(task, _in_words(error), time.perf_counter() - started)
        no_place = getattr(error, "errno", None) in NO_PLACE
        return replace(outcome, no_place=no_place, traces=tuple(traces.values()))
    counts = Counter(row.state for row in commit.rows)
    seconds = time.perf_counter() - started
    about = task.stage, task.partition, len(task.rows), dict(counts), seconds
    return Outcome(*about, traces=tuple(traces.values()))


def _in_words(error: Exception) -> str:
    """The error in one line, with its type where nobody wrote the message for people to read."""
    return one_line(error, with_kind=not isinstance(error, FORESEEN))


def _make(task: Task, traces: dict[str, str]) -> Commit:
    stages = _stages(json.dumps(task.spec, ensure_ascii=False))
    stage = stages[task.stage]
    _require_as_planned(stages, task)
    require_devices([stage])  # of a worker that came when the others had been asked
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
    attempt = Attempt(stage, list(inputs.values()), traces)
    results.update(zip(inputs, attempt.results(), strict=True))
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
