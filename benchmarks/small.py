"""Small datasets and short clips: `compare` beside one training of SMP, and what padding costs."""

from __future__ import annotations

import argparse
import tempfile
import time
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

ON_CPU = {"device": "cpu"}


def main() -> None:
    """Print each figure as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", nargs="?", default="cache/sample", help="of the sample")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3, help="of which the fastest counts")
    options = parser.parse_args()
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
    """All models over all seeds, beside one training of SMP before and one after."""
    smp = preset("smp", samples.scale.name).with_options(ON_CPU)
    one = _seconds_of_training(samples, smp)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        report = conduct(comparison(samples, [], None, ON_CPU), samples, range(seeds), Path(folder))
    seconds = time.perf_counter() - started
    one = (one + _seconds_of_training(samples, smp)) / 2
    trained = sum(len(outcome.trained) for outcome in report.outcomes)
    print(
        f"{samples.name}: {trained} trainings of `compare` {seconds:.0f} s, of SMP one {one:.1f} s"
    )
    print(f"  {seconds / one:.1f} times as long")


def _seconds_of_training(samples: Samples, settings: TrainSettings) -> float:
    return train(samples, settings).seconds


if __name__ == "__main__":
    main()
