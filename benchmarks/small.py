"""Small datasets and short clips: `compare` beside one training of SMP, and what padding costs."""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from benchmarks.made_cache import STEPS
from benchmarks.made_samples import made_samples
from model.data.samples import Samples, load_samples
from model.experiments.compare import comparison
from model.experiments.experiment import conduct
from model.training.loop import train
from model.training.presets import preset
from model.training.settings import TrainSettings
from pipeline.store.cache import open_cache
from pipeline.system import resources

ON_CPU = {"device": "cpu"}
MOST = 7.5  # trainings of SMP that `compare` may take


def main() -> None:
    """Print each figure as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", nargs="?", default="cache/sample", help="of the sample")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3, help="of short clips; 0: none")
    options = parser.parse_args()
    if options.rounds:
        measure_padding(options.rounds)
    measure_compare(load_samples(open_cache(options.cache)), options.seeds)


def measure_padding(rounds: int) -> None:
    """An epoch of SMP on clips of few steps, beside the same where one clip has all of them."""
    for name, lengths, modalities in (
        ("one step, three modalities", [1], ("visual", "audio", "text")),
        ("5 to 12 steps, text alone", range(5, 13), ("text",)),
    ):
        short = made_samples(lengths, modalities)
        best = [float("inf")] * 2
        for _ in range(rounds):
            for i, samples in enumerate((short, _with_one_long(short))):
                best[i] = min(best[i], _epoch_s(samples))
        print(f"{name}: {best[0]:.2f} s of processor an epoch, {best[1]:.2f} at")
        print(f"  {STEPS} steps: {best[1] / best[0]:.1f} times as fast")


def _with_one_long(samples: Samples) -> Samples:
    """The same where the first clip, of `train`, has all steps, so that none can be left out."""
    long = made_samples([STEPS], tuple(samples.batch.widths))
    for m, lengths in long.batch.lengths.items():
        lengths[1:] = samples.batch.lengths[m][1:]
    return long


def _epoch_s(samples: Samples) -> float:
    """Of the processor: neighbours don't count."""
    ends: list[float] = []
    settings = TrainSettings(epochs=3, **ON_CPU)
    train(samples, settings, lambda row: ends.append(time.process_time()))
    return min(b - a for a, b in pairwise(ends))


def measure_compare(samples: Samples, seeds: int) -> None:
    """All models over all seeds, by the processor, beside one training of SMP's whole epochs.

    Three minutes were 7.5 times such a training, on two cores: the limit, whatever the machine is
    and whoever else works on it.
    """
    smp = preset("smp", samples.scale.name).with_options({**ON_CPU, "patience": None})
    one = _processor_s(lambda: train(samples, smp))
    begun: list[tuple[str, float]] = []

    def show(done: float, text: str) -> None:
        model = text.partition(",")[0]
        if not begun or begun[-1][0] != model:
            begun.append((model, _used_s()))  # its children count when they have ended

    def compare(folder: str) -> None:
        experiment = comparison(samples, [], None, ON_CPU)
        conduct(experiment, samples, range(seeds), Path(folder), show=show)

    with tempfile.TemporaryDirectory() as folder:
        every = _processor_s(lambda: compare(folder))
        begun.append(("", _used_s()))
    one = (one + _processor_s(lambda: train(samples, smp))) / 2
    times = every / resources.cores() / one
    print(f"{samples.name}, {seeds} seeds: `compare` {every:.0f} s of processor on")
    print(f"  {resources.cores()} cores, {smp.epochs} epochs of SMP {one:.1f} s")
    print(f"  {times:.1f} times as long, where all cores are free (goal: {MOST} on 2 cores)")
    print("  " + ", ".join(f"{a[0]} {b[1] - a[1]:.0f} s" for a, b in pairwise(begun)))


def _processor_s(run: Callable[[], object]) -> float:
    before = _used_s()
    run()
    return _used_s() - before


def _used_s() -> float:
    """Of the processor, by this process and its children that have ended."""
    kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


if __name__ == "__main__":
    main()
