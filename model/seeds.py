"""One training a seed, of settings that are otherwise the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from model.samples import Samples
from model.train import Trained, TrainSettings, train


def train_seeds(
    samples: Samples,
    settings: TrainSettings,
    seeds: Sequence[int],
    on_epoch: Callable[[dict[str, float]], None] = lambda row: None,
) -> list[Trained]:
    """What `train` gives for each of `seeds`, in their order."""
    return [train(samples, settings.model_copy(update={"seed": s}), on_epoch) for s in seeds]


def together(settings: TrainSettings, seeds: Sequence[int]) -> list[list[int]]:
    """The seeds by which of them are best trained in one call of `train_seeds`: one by one."""
    return [[seed] for seed in seeds]
