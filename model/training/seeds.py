"""One training for each of several seeds, side by side on the cores of the machine."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import fields
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch import Tensor

from model.data.samples import Samples
from model.step.threads import one_thread
from model.training.loop import Prepared, Trained, prepare, train_prepared, untrained
from model.training.memory import OutOfMemoryError, out_of_memory_told
from model.training.predictor import Predictor
from model.training.settings import TrainSettings
from pipeline.errors import UserError
from pipeline.system import resources
from pipeline.system.threads import at_work

OnEpoch = Callable[[int, dict[str, float]], None]
"""Called with the seed and the row of the curve, for each epoch of each seed."""

OnTrained = Callable[[int, Trained], None]
"""Called with the seed and its training, as soon as that is done."""


@one_thread()
def train_seeds(
    samples: Samples,
    settings: TrainSettings,
    seeds: Sequence[int],
    on_epoch: OnEpoch = lambda seed, row: None,
    on_trained: OnTrained = lambda seed, trained: None,
) -> list[Trained]:
    """What `train` gives with each of `seeds`, to the bit, in the order of `seeds`.

    On the CPU each seed has a process of its own, and all see one copy of the features: seeds keep
    every core busy from the first step to the last, which the branches of one network do not.
    (One network with a leading seed axis was slower: its activations outgrow the processor's
    cache.) Elsewhere they follow one another.
    """
    tasks = [settings.model_copy(update={"seed": seed}) for seed in seeds]
    with at_work(resources.cores()), out_of_memory_told(settings):
        prepared = prepare(samples, settings)
        if len(tasks) > 1 and _can_fork(prepared):
            return _side_by_side(prepared, samples, tasks, on_epoch, on_trained)
        found = []
        for task in tasks:
            found.append(train_prepared(prepared, samples, task, partial(on_epoch, task.seed)))
            on_trained(task.seed, found[-1])
        return found


def _can_fork(prepared: Prepared) -> bool:
    """Not with a GPU in use, and on macOS not with its own linear algebra."""
    return (
        sys.platform == "linux" and prepared.targets.device.type == "cpu" and resources.cores() > 1
    )


def _side_by_side(
    prepared: Prepared,
    samples: Samples,
    tasks: Sequence[TrainSettings],
    on_epoch: OnEpoch,
    on_trained: OnTrained,
) -> list[Trained]:
    def run(place: int, to_parent: Connection) -> None:
        def told(row: dict[str, float]) -> None:
            _send(to_parent, "epoch", row)

        try:
            with at_work(1), out_of_memory_told(tasks[place]):
                trained = train_prepared(prepared, samples, tasks[place], told)
            _send(to_parent, "done", (trained.predictor.state_dict(), _rest(trained)))
        except UserError as error:
            _send(to_parent, "failed", error)
        except BrokenPipeError:  # the parent was killed, and nobody waits for this
            pass

    with torch.random.fork_rng([]):  # before the forks, which share what it imports
        blank = Predictor(prepared.scaler, untrained(samples, tasks[0]))
    found: dict[int, Trained] = {}
    with _children(run, len(tasks)) as (pipes, children):
        while len(found) < len(tasks):
            for pipe in wait([p for i, p in enumerate(pipes) if i not in found]):
                place = pipes.index(pipe)  # type: ignore[arg-type]
                kind, value = _receive(pipes[place], children[place], tasks[place])
                if kind == "failed":
                    raise value
                if kind == "done":
                    found[place] = _rebuilt(blank, *value)
                    on_trained(tasks[place].seed, found[place])
                else:
                    on_epoch(tasks[place].seed, value)
    return [found[place] for place in range(len(tasks))]


@contextmanager
def _children(
    run: Callable[[int, Connection], None], count: int
) -> Iterator[tuple[list[Connection], list[BaseProcess]]]:
    """`count` forks of this process that run `run`; none outlives the block."""
    context = multiprocessing.get_context("fork")
    children: list[BaseProcess] = []
    pipes: list[Connection] = []

    def of_child(place: int, there: Connection) -> None:
        for pipe in pipes:  # or sending would wait forever for a parent that was killed
            pipe.close()
        run(place, there)

    try:
        for place in range(count):
            here, there = context.Pipe(duplex=False)
            pipes.append(here)
            child: BaseProcess = context.Process(target=of_child, args=(place, there), daemon=True)
            with warnings.catch_warnings():
                # Python warns of forks beside threads; these children use no lock of theirs.
                warnings.simplefilter("ignore", DeprecationWarning)
                child.start()
            children.append(child)
            there.close()
        yield pipes, children
    finally:
        for child in children:
            child.terminate()
            child.join()
        for pipe in pipes:
            pipe.close()


def _rest(trained: Trained) -> dict[str, Any]:
    """All of `trained` but its predictor, whose settings can't be pickled."""
    return {f.name: getattr(trained, f.name) for f in fields(trained) if f.name != "predictor"}


def _rebuilt(blank: Predictor, weights: dict[str, Tensor], rest: dict[str, Any]) -> Trained:
    predictor = deepcopy(blank)
    predictor.load_state_dict(weights)
    return Trained(predictor=predictor.eval(), **rest)


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
