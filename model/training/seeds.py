"""One training for each of several seeds, side by side on the cores of the machine."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from model.data.samples import Samples
from model.step.threads import one_thread
from model.training.loop import Prepared, Trained, prepare, train_prepared
from model.training.memory import out_of_memory_told
from model.training.settings import TrainSettings
from model.training.side_by_side import Kept, Row, Training, can_fork, run_all
from model.training.stackable import why_not
from model.training.stacked import train_stacked
from pipeline.system import resources
from pipeline.system.device import is_out_of_memory, require
from pipeline.system.threads import at_work

OnEpoch = Callable[[int, Row], None]
"""Called with the seed and the row of the curve, for each epoch of each seed."""


@dataclass
class Seed(Training[Kept]):
    """The training of one seed, which leaves what is kept of it in `found` at its place."""

    place: int
    found: dict[int, Kept]
    on_epoch: OnEpoch
    on_kept: Callable[[int, Kept], None]

    def told(self, row: Row) -> None:
        self.on_epoch(self.settings.seed, row)

    def ended(self, kept: Kept) -> None:
        self.found[self.place] = kept
        self.on_kept(self.settings.seed, kept)


def train_seeds(
    samples: Samples,
    settings: TrainSettings,
    seeds: Sequence[int],
    keep: Callable[[Trained], Kept],
    on_epoch: OnEpoch = lambda seed, row: None,
    on_kept: Callable[[int, Kept], None] = lambda seed, kept: None,
    stacked: bool | None = None,
) -> list[Kept]:
    """What is kept of trainings with each of `seeds`, as `train` gives them, in that order.

    keep: takes from a training what is wanted of it, where it was done; that is pickled. on_kept:
    called with the seed and what was kept, as soon as it is there. stacked: whether all seeds
    compute as one network, where the model can; by default on an accelerator.
    """
    tasks = [settings.model_copy(update={"seed": seed}) for seed in seeds]
    found: dict[int, Kept] = {}
    waiting = [Seed(task, i, found, on_epoch, on_kept) for i, task in enumerate(tasks)]
    wants = require(settings.device) != "cpu" if stacked is None else stacked
    train_all(samples, settings, waiting, keep, len(tasks) > 1, wants and len(tasks) > 1)
    return [found[place] for place in range(len(tasks))]


@one_thread()
def train_all(
    samples: Samples,
    settings: TrainSettings,
    trainings: Iterable[Training[Kept]],
    keep: Callable[[Trained], Kept],
    together: bool = True,
    stacked: bool = False,
) -> None:
    """Trainings on the same samples, of the task and on the device of `settings`.

    together: side by side, where that can be: on the CPU each has a process of its own, as many at
    a time as there are cores, and all see one copy of the features. That keeps every core busy,
    which the branches of one network do not. (One network with a leading seed axis was slower: its
    activations outgrow the processor's cache.) Elsewhere they follow one another.
    stacked: as one network (`train_stacked`), of settings that differ in their seeds alone; where
    the model can't be, with a warning, as if this were not set.
    """
    with at_work(resources.cores()), out_of_memory_told(settings):
        prepared = prepare(samples, settings)

        def run(task: TrainSettings, told: Callable[[Row], None]) -> Kept:
            return keep(train_prepared(prepared, samples, task, told))

        if stacked and not (why := why_not(prepared, samples, settings)):
            _train_stacks(prepared, samples, list(trainings), keep)
            return
        if stacked:
            told = f"{settings.model!r} can't train several seeds as one network: {why}"
            warnings.warn(told, stacklevel=3)
        run_all(run, trainings, together and can_fork(prepared.targets.device.type))


def _train_stacks(
    prepared: Prepared,
    samples: Samples,
    trainings: Sequence[Training[Kept]],
    keep: Callable[[Trained], Kept],
) -> None:
    """As one network; where memory runs out for so many, in halves."""
    found: list[Trained] = []
    try:
        found = train_stacked(prepared, samples, trainings)
    except (RuntimeError, MemoryError) as error:
        if len(trainings) == 1 or not is_out_of_memory(error):
            raise
    if not found:  # not within `except`, where the error still holds the memory
        half = len(trainings) // 2
        _train_stacks(prepared, samples, trainings[:half], keep)
        _train_stacks(prepared, samples, trainings[half:], keep)
    for training, trained in zip(trainings, found, strict=False):
        training.ended(keep(trained))
