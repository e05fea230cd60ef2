"""Many trainings on the same features, side by side on the cores of the machine."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from model.training.memory import OutOfMemoryError, out_of_memory_told
from model.training.settings import TrainSettings
from pipeline.errors import UserError
from pipeline.system import resources
from pipeline.system.process import end_with
from pipeline.system.threads import at_work

Kept = TypeVar("Kept")
Row = dict[str, float]
Run = Callable[[TrainSettings, Callable[[Row], None]], Kept]
"""Trains by settings, tells each row of the curve, and gives what is kept of the training."""


class Enough(Exception):  # noqa: N818, it is none
    """Raised by what is told of an epoch: this training ends here, and nothing of it is kept."""


@dataclass
class Training(Generic[Kept]):
    """One training to do, and what it is told of it, in the process that asked for it."""

    settings: TrainSettings

    def told(self, row: Row) -> None:
        """A row of the curve, after each epoch; may raise Enough."""

    def ended(self, kept: Kept) -> None:
        """What is kept of the training, as soon as it is there."""

    def failed(self, error: UserError) -> None:
        """It can't be done with these settings; by default no other is done either."""
        raise error


def run_all(run: Run[Kept], trainings: Iterable[Training[Kept]], forks: bool) -> None:
    """Do every training; each is asked for when there is a core for it.

    forks: each has a process of its own, as many at a time as there are cores, and all see one copy
    of what `run` holds; what is kept is pickled. Otherwise they follow one another.
    """
    if forks:
        _side_by_side(run, iter(trainings))
        return
    for training in trainings:
        try:
            with out_of_memory_told(training.settings):
                kept = run(training.settings, training.told)
        except Enough:
            continue
        except UserError as error:
            training.failed(error)
        else:
            training.ended(kept)


def can_fork(device: str) -> bool:
    """Not with a GPU in use, and on macOS not with its own linear algebra."""
    return sys.platform == "linux" and device == "cpu" and resources.cores() > 1


def _side_by_side(run: Run[Kept], waiting: Iterator[Training[Kept]]) -> None:
    def train_one(settings: TrainSettings, to_parent: Connection, parent: int) -> None:
        end_with(parent)
        try:
            with at_work(1), out_of_memory_told(settings):
                kept = run(settings, lambda row: _send(to_parent, "told", row))
            _send(to_parent, "ended", kept)
        except UserError as error:
            _send(to_parent, "failed", error)

    running: dict[Connection, tuple[Training[Kept], BaseProcess]] = {}
    try:
        while True:
            while len(running) < resources.cores() and (training := next(waiting, None)):
                pipe, child = _forked(train_one, training.settings)
                running[pipe] = training, child
            if not running:
                return
            for pipe in set(running).intersection(wait(list(running))):
                training, child = running[pipe]
                kind, value = _receive(pipe, child, training.settings)
                with suppress(Enough):
                    getattr(training, kind)(value)
                    if kind == "told":
                        continue
                _end(pipe, running.pop(pipe)[1])
    finally:
        for pipe, (_, child) in running.items():
            _end(pipe, child)


def _forked(
    work: Callable[[TrainSettings, Connection, int], None], settings: TrainSettings
) -> tuple[Connection, BaseProcess]:
    """A fork of this process that does `work`, and the pipe in which it tells of it."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=work, args=(settings, there, os.getpid()), daemon=True)
    with warnings.catch_warnings():
        # Python warns of forks beside threads; these children use no lock of theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    there.close()
    return here, child


def _end(pipe: Connection, child: BaseProcess) -> None:
    """One that is not waited for any more has nothing to clean up; commands catch SIGTERM."""
    child.kill()
    child.join()
    pipe.close()


def _send(pipe: Connection, kind: str, value: Any) -> None:
    pipe.send_bytes(pickle.dumps((kind, value)))  # not `send`, which would share tensors by file


def _receive(pipe: Connection, child: BaseProcess, settings: TrainSettings) -> tuple[str, Any]:
    try:
        message: tuple[str, Any] = pickle.loads(pipe.recv_bytes())
    except EOFError:
        child.join()
        if child.exitcode == -signal.SIGKILL:  # by the kernel, where memory runs out
            where = f" (the process of seed {settings.seed} was killed, most likely for that)"
            return "failed", OutOfMemoryError.of(settings, where)
        raise RuntimeError(f"the process of seed {settings.seed} died: {child.exitcode}") from None
    return message
