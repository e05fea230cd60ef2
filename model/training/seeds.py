"""One training for each of several seeds, side by side on the cores of the machine."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from model.data.samples import Samples
from model.step.threads import one_thread
from model.training.loop import Prepared, Trained, prepare, train_prepared
from model.training.memory import OutOfMemoryError, out_of_memory_told
from model.training.settings import TrainSettings
from pipeline.errors import UserError
from pipeline.system import resources
from pipeline.system.process import end_with
from pipeline.system.threads import at_work

Kept = TypeVar("Kept")

OnEpoch = Callable[[int, dict[str, float]], None]
"""Called with the seed and the row of the curve, for each epoch of each seed."""


@one_thread()
def train_seeds(
    samples: Samples,
    settings: TrainSettings,
    seeds: Sequence[int],
    keep: Callable[[Trained], Kept],
    on_epoch: OnEpoch = lambda seed, row: None,
    on_kept: Callable[[int, Kept], None] = lambda seed, kept: None,
) -> list[Kept]:
    """What is kept of trainings with each of `seeds`, as `train` gives them, in that order.

    keep: takes from a training what is wanted of it, where it was done; that is pickled. on_kept:
    called with the seed and what was kept, as soon as it is there.
    On the CPU each seed has a process of its own, as many at a time as there are cores, and all see
    one copy of the features: seeds keep every core busy, which the branches of one network do not.
    (One network with a leading seed axis was slower: its activations outgrow the processor's
    cache.) Elsewhere they follow one another.
    """
    tasks = [settings.model_copy(update={"seed": seed}) for seed in seeds]
    with at_work(resources.cores()), out_of_memory_told(settings):
        prepared = prepare(samples, settings)

        def run(task: TrainSettings, told: Callable[[dict[str, float]], None]) -> Kept:
            return keep(train_prepared(prepared, samples, task, told))

        if len(tasks) > 1 and _can_fork(prepared):
            return _side_by_side(run, tasks, on_epoch, on_kept)
        found = []
        for task in tasks:
            found.append(run(task, partial(on_epoch, task.seed)))
            on_kept(task.seed, found[-1])
        return found


def _can_fork(prepared: Prepared) -> bool:
    """Not with a GPU in use, and on macOS not with its own linear algebra."""
    return (
        sys.platform == "linux" and prepared.targets.device.type == "cpu" and resources.cores() > 1
    )


def _side_by_side(
    run: Callable[[TrainSettings, Callable[[dict[str, float]], None]], Kept],
    tasks: Sequence[TrainSettings],
    on_epoch: OnEpoch,
    on_kept: Callable[[int, Kept], None],
) -> list[Kept]:
    def train_one(task: TrainSettings, to_parent: Connection, parent: int) -> None:
        end_with(parent)
        try:
            with at_work(1), out_of_memory_told(task):
                kept = run(task, partial(_send, to_parent, "epoch"))
            _send(to_parent, "done", kept)
        except UserError as error:
            _send(to_parent, "failed", error)

    found: dict[int, Kept] = {}
    waiting = list(enumerate(tasks))
    running: dict[Connection, tuple[int, BaseProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < resources.cores():
                place, task = waiting.pop(0)
                pipe, child = _forked(train_one, task)
                running[pipe] = place, child
            for pipe in set(running).intersection(wait(list(running))):
                place, child = running[pipe]
                kind, value = _receive(pipe, child, tasks[place])
                if kind == "failed":
                    raise value
                if kind == "epoch":
                    on_epoch(tasks[place].seed, value)
                    continue
                found[place] = value
                on_kept(tasks[place].seed, value)
                _end(pipe, running.pop(pipe)[1])
    finally:
        for pipe, (_, child) in running.items():
            child.terminate()
            _end(pipe, child)
    return [found[place] for place in range(len(tasks))]


def _forked(
    work: Callable[[TrainSettings, Connection, int], None], task: TrainSettings
) -> tuple[Connection, BaseProcess]:
    """A fork of this process that does `work`, and the pipe in which it tells of it."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=work, args=(task, there, os.getpid()), daemon=True)
    with warnings.catch_warnings():
        # Python warns of forks beside threads; these children use no lock of theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    there.close()
    return here, child


def _end(pipe: Connection, child: BaseProcess) -> None:
    child.join()
    pipe.close()


def _send(pipe: Connection, kind: str, value: Any) -> None:
    pipe.send_bytes(pickle.dumps((kind, value)))  # not `send`, which would share tensors by file


def _receive(pipe: Connection, child: BaseProcess, task: TrainSettings) -> tuple[str, Any]:
    try:
        message: tuple[str, Any] = pickle.loads(pipe.recv_bytes())
    except EOFError:
        child.join()
        if child.exitcode == -signal.SIGKILL:  # by the kernel, where memory runs out
            where = f" (the process of seed {task.seed} was killed, most likely for that)"
            raise OutOfMemoryError.of(task, where) from None
        raise RuntimeError(f"the process of seed {task.seed} died: {child.exitcode}") from None
    return message
