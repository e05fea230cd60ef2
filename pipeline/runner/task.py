"""One task, from its clips to its commit."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

from pipeline.dag.spec import Stages
from pipeline.dag.stage import require_devices
from pipeline.dag.task import OVERTAKEN, Task
from pipeline.errors import DamagedError, StageError, UserError
from pipeline.messages import one_line
from pipeline.runner import under_way
from pipeline.runner.attempt import Attempt
from pipeline.runner.fault import Fault
from pipeline.runner.inputs import gather
from pipeline.runner.types import Outcome
from pipeline.stage.result import OK, ClipInputs, ClipResult
from pipeline.store.commit import Commit
from pipeline.store.previous import keep, previous_url
from pipeline.store.store import Store
from pipeline.system.process import one_thread_a_task
from pipeline.system.spans import STAGE, recorded, span
from pipeline.system.threads import at_work
from pipeline.system.turns import assigned

FORESEEN = UserError | OSError | MemoryError  # their messages are for people
Blamed = Mapping[int, str]  # rows that met a fault of the machine, each with the reason


def execute(task: Task, threads: int = 1, blamed: Blamed | None = None) -> Outcome:
    """Make one partition: read what it needs, extract, write, commit.

    Clips whose committed row is still valid keep it; those that are again what they were take back
    that of the previous generation. What is no clip's fault (see `Attempt`) is the
    task's and leaves it without a commit.
    threads: how many of this process may compute at once; those that idle help with the clips.
    blamed: where a fault came before, so that the clips run one by one; those rows have failed.
    """
    with (
        at_work(threads),
        under_way.task(task.stage, task.partition),
        recorded(task.traced) as recording,
        span(task.stage, STAGE, partition=task.partition, clips=len(task.rows)) as about,
    ):
        outcome = _executed(task, blamed)
        about.update(outcome.counts, **({"error": outcome.error} if outcome.error else {}))
    recordings = (recording, *recording.beside) if recording else ()
    thread = socket.gethostname(), os.getpid(), threading.get_native_id()
    return replace(outcome, recordings=recordings, thread=thread)


def _executed(task: Task, blamed: Blamed | None) -> Outcome:
    started, traces = time.perf_counter(), dict[str, str]()
    try:
        one_thread_a_task()
        commit = _make(task, traces, blamed)
    except Exception as error:
        if not isinstance(error, FORESEEN) or (isinstance(error, StageError) and not traces):
            traces[""] = traceback.format_exc()
        failed = Outcome.failed(task, _in_words(error), time.perf_counter() - started)
        return replace(failed, fault=Fault.behind(error), traces=tuple(traces.values()))
    return Outcome(
        task.stage,
        task.partition,
        len(task.rows),
        dict(Counter(row.state for row in commit.rows)),
        time.perf_counter() - started,
        traces=tuple(traces.values()),
    )


def _in_words(error: Exception) -> str:
    """The error in one line, with its type where nobody wrote the message for people to read."""
    return one_line(error, with_kind=not isinstance(error, FORESEEN))


def _make(task: Task, traces: dict[str, str], blamed: Blamed | None) -> Commit:
    stages = stages_of(task)
    stage = stages[task.stage]
    require_devices([stage])  # of a worker that came when the others had been asked
    url, thread = task.stores[task.stage], threading.get_ident()
    store = _opened(url, task.clips, thread)
    results = _kept(store, task)
    if len(results) == len(task.rows) and (commit := store.commit(task.partition)):
        return commit  # given out again: the worker died after its commit
    previous = _opened(previous_url(url), task.clips, thread)
    before = _kept(previous, task)
    results = {**{row: r for row, r in before.items() if r.state == OK}, **results}
    kept = set(results)
    results.update((row, ClipResult.failed(why)) for row, why in (blamed or {}).items())
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
    with assigned(stage.device) as device:
        attempt = Attempt(stage.on(device), inputs, traces)
        results.update(attempt.results(one_by_one=blamed is not None))
    results.update(_overtaken(task, results.keys() - kept))
    keys = [row.key for row in task.rows]
    with span("write"):
        if task.keeps:
            keep(store, previous, task.partition, keys)
        return store.write(task.partition, keys, [results[row] for row in range(len(keys))])


@lru_cache(maxsize=64)
def _opened(url: str, clips: int, thread: int) -> Store:
    """A store as each thread keeps it from task to task, for as long as it has so many clips."""
    return Store(url)


def stages_of(task: Task) -> Stages:
    """The stages file of the task's plan, whose stages keep the weights that they found."""
    return _stages(json.dumps(task.spec, ensure_ascii=False), task.stores[task.stage])


@lru_cache(maxsize=64)
def _stages(spec: str, store: str) -> Stages:
    """store: whose fingerprint covers the weights, so that other weights are looked for anew."""
    return Stages(json.loads(spec))


def _kept(store: Store, task: Task) -> dict[int, ClipResult]:
    """The results of the partition's commit in `store` that are still valid, by row."""
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
        row: ClipResult.failed(f"{file.path} {OVERTAKEN}")
        for row in rows
        for file in task.rows[row].files
        if not file.is_unchanged()
    }
