"""One training for each of several seeds, side by side on the cores of the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from model.data.samples import Samples
from model.step.threads import one_thread
from model.training.loop import Trained, prepare, train_prepared
from model.training.memory import out_of_memory_told
from model.training.settings import TrainSettings
from model.training.side_by_side import Kept, Row, Training, can_fork, run_all
from pipeline.system import resources
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
) -> list[Kept]:
    """What is kept of trainings with each of `seeds`, as `train` gives them, in that order.

    keep: takes from a training what is wanted of it, where it was done; that is pickled. on_kept:
    called with the seed and what was kept, as soon as it is there.
    """
    tasks = [settings.model_copy(update={"seed": seed}) for seed in seeds]
    found: dict[int, Kept] = {}
    waiting = [Seed(task, i, found, on_epoch, on_kept) for i, task in enumerate(tasks)]
    train_all(samples, settings, waiting, keep, len(tasks) > 1)
    return [found[place] for place in range(len(tasks))]


@one_thread()
def train_all(
    samples: Samples,
    settings: TrainSettings,
    trainings: Iterable[Training[Kept]],
    keep: Callable[[Trained], Kept],
    together: bool = True,
) -> None:
    """Trainings on the same samples, of the task and on the device of `settings`.

    together: side by side, where that can be: on the CPU each has a process of its own, as many at
    a time as there are cores, and all see one copy of the features. That keeps every core busy,
    which the branches of one network do not. (One network with a leading seed axis was slower: its
    activations outgrow the processor's cache.) Elsewhere they follow one another.
    """
    with at_work(resources.cores()), out_of_memory_told(settings):
        prepared = prepare(samples, settings)

        def run(task: TrainSettings, told: Callable[[Row], None]) -> Kept:
            return keep(train_prepared(prepared, samples, task, told))

        run_all(run, trainings, together and can_fork(prepared.targets.device.type))
