"""Loading, training and seeds, each beside what it is measured against; what a step is made of."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.made_cache import STEPS, WIDTHS, write_cache
from benchmarks.plain_smp import Arrays, PlainSmp, PlainTrainer
from model.data.batch import Batch
from model.data.samples import Samples, Split, load_samples
from model.experiments.records import Result
from model.networks.smp import Smp
from model.registry import build
from model.step.threads import one_thread
from model.training.loop import train
from model.training.seeds import train_seeds
from model.training.settings import TrainSettings
from pipeline.stage.about import MODALITIES
from pipeline.store.cache import open_cache
from pipeline.system import resources
from pipeline.system.threads import at_work

BATCH, SEEDS = 64, range(5)
SETTINGS = TrainSettings(batch=BATCH, device="cpu")


def main() -> None:
    """Print each table as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=2200)
    parser.add_argument("--epochs", type=int, default=3, help="of every training that is timed")
    parser.add_argument("--rounds", type=int, default=3, help="of which the fastest counts")
    options = parser.parse_args()
    cores = resources.cores()
    print(f"{platform.machine()}, {cores} cores, torch {torch.__version__}; minima of")
    print(f"{options.rounds} interleaved rounds\n")
    with tempfile.TemporaryDirectory() as folder:
        samples = measure_load(Path(folder), options.clips, options.rounds)
        plain_s = measure_training(samples, Path(folder), options.epochs, options.rounds)
    measure_seeds(samples, options.epochs, options.rounds, plain_s)
    measure_step(samples)


def fastest(rounds: int, **contenders: Callable[[], object]) -> dict[str, float]:
    """The least seconds of each, by turns, so that all meet the same neighbours."""
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(rounds):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - started)
    return best


# ---- loading -----------------------------------------------------------------------------------

_PEAK = """
import sys, numpy as np
from model.data.samples import load_samples
from pipeline.store.cache import open_cache
folder, how = sys.argv[1:]
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
before = peak()
if how == "npy":
    kept = [np.load(f"{folder}/{name}.npy") for name in %r]
else:
    kept = load_samples(open_cache(f"{folder}/cache"))
print(peak() - before)
"""


def measure_load(folder: Path, clips: int, rounds: int) -> Samples:
    """A cache into tensors, beside the same bytes in `.npy` files; both in the page cache."""
    write_cache(folder / "cache", clips)
    cache = open_cache(folder / "cache")
    for name in WIDTHS:
        np.save(folder / f"{name}.npy", cache[name].read())
    npy = [folder / f"{name}.npy" for name in WIDTHS]
    best = fastest(
        max(rounds, 5),
        npy=lambda: [np.load(path) for path in npy],
        cache=lambda: load_samples(open_cache(folder / "cache")),
    )
    megabytes = sum(path.stat().st_size for path in npy) / 2**20
    peaks = {how: _peak(folder, how) for how in ("npy", "cache")}
    print(f"loading {clips} clips, {megabytes:.0f} MiB")
    for how, seconds in best.items():
        print(f"  {how:<8}{seconds:8.3f} s   peak memory {peaks[how] / megabytes:.2f} of the bytes")
    print(f"  the cache takes {best['cache'] / best['npy']:.2f} times as long (goal: 6)\n")
    return load_samples(open_cache(folder / "cache"))


def _peak(folder: Path, how: str) -> float:
    """MiB that reading adds to the most that a fresh process holds."""
    code = _PEAK % list(WIDTHS)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), how], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


# ---- one training ------------------------------------------------------------------------------


def measure_training(samples: Samples, folder: Path, epochs: int, rounds: int) -> float:
    """An epoch, its validation included, beside a plain trainer's, which has torch's threads.

    The plain one has a process of its own, in which nothing is set up for it. Returns its seconds.
    """
    settings = SETTINGS.model_copy(update={"epochs": epochs})
    ours: list[float] = []
    for name in ("train", "valid"):
        save_file(dict(arrays_of(samples.split(name))), folder / f"{name}.safetensors")
    with plain_trainer(folder) as plain_epoch:
        best = fastest(
            rounds, plain=plain_epoch, train=lambda: ours.extend(timed(samples, settings))
        )
    seconds = {"plain": best["plain"], "smp train": min(ours)}
    clips, held_out = (len(samples.split(name).ids) for name in ("train", "valid"))
    print(f"training on {clips} clips, validating on {held_out}: one epoch")
    for name, value in seconds.items():
        print(f"  {name:<10}{value:7.2f} s {clips / value:8.0f} clips a second")
    print(f"  {seconds['plain'] / seconds['smp train']:.2f} times as fast (goal: 3)")
    print(
        f"  before the first epoch and after the last: {best['train'] - epochs * min(ours):.1f} s"
    )
    print(f"  same weights, same clips: outputs differ by {_difference(samples):.1e}\n")
    return best["plain"]


@contextmanager
def plain_trainer(folder: Path) -> Iterator[Callable[[], object]]:
    """A plain trainer on the arrays in `folder`, in a process; yields what runs an epoch there."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_train_plainly, args=(folder, there), daemon=True)
    process.start()
    there.close()
    here.recv()

    def epoch() -> None:
        here.send("go on")
        here.recv()

    yield epoch
    here.close()
    process.join()


def _train_plainly(folder: Path, to_parent: Connection) -> None:
    fitted, held_out = (load_file(folder / f"{name}.safetensors") for name in ("train", "valid"))
    plain = PlainSmp({m: fitted[m].shape[-1] for m in MODALITIES}, Smp.Settings())
    trainer = PlainTrainer(plain, fitted, held_out, BATCH)
    with suppress(EOFError):
        while True:
            to_parent.send("ready")
            to_parent.recv()
            trainer.epoch()


def timed(samples: Samples, settings: TrainSettings) -> list[float]:
    """The seconds of every epoch but the first, which has the preparation in it."""
    ends: list[float] = []
    train(samples, settings, lambda row: ends.append(time.perf_counter()))
    return np.diff(ends).tolist()


def arrays_of(split: Split) -> Arrays:
    """A split as a plain trainer takes it. (The noise has mean 0 and deviation 1 already.)"""
    features = {m: x.numpy() for m, x in split.batch.features.items()}
    lengths = {f"{m} length": n.numpy() for m, n in split.batch.lengths.items()}
    return {**features, **lengths, "label": split.labels.astype(np.float32)}


@torch.no_grad()
def _difference(samples: Samples) -> float:
    smp = build("smp", samples.batch.widths, 1, {}).eval()
    assert isinstance(smp, Smp)
    plain = PlainSmp(samples.batch.widths, Smp.Settings()).eval()
    plain.copy_from(smp)
    valid = samples.split("valid")
    theirs = plain({name: torch.as_tensor(x) for name, x in arrays_of(valid).items()})
    return float((theirs - smp(valid.batch)).abs().max())


# ---- seeds -------------------------------------------------------------------------------------


def measure_seeds(samples: Samples, epochs: int, rounds: int, plain_s: float) -> None:
    """Five seeds at once beside one, and beside a plain trainer's epochs of `plain_s` each.

    Also whether they are what each would be alone.
    """
    settings = SETTINGS.model_copy(update={"epochs": epochs})
    best = fastest(
        rounds,
        one=lambda: train(samples, settings),
        on_one_core=lambda: _on_one_core(lambda: train(samples, settings)),
        five=lambda: train_seeds(samples, settings, SEEDS, Result.of),
    )
    one, on_one_core, five = best.values()
    in_plain_s = len(SEEDS) * epochs * plain_s
    print(f"{len(SEEDS)} seeds, {epochs} epochs, preparation included")
    print(f"  one {one:.1f} s, on one core {on_one_core:.1f} s, {len(SEEDS)} together {five:.1f} s")
    print(f"  {five / one:.2f} times as long as one, which has all cores to itself (goal: 2.5)")
    print(f"  {five / on_one_core:.2f} times as long as one on one core")
    print(f"  {in_plain_s / five:.2f} times as fast as {len(SEEDS)} plain trainings")
    once = SETTINGS.model_copy(update={"epochs": 1})
    together = train_seeds(samples, once, SEEDS, lambda trained: trained.predictions["valid"])
    apart = [train(samples, once.model_copy(update={"seed": seed})) for seed in SEEDS]
    differences = [
        np.abs(a - b.predictions["valid"]).max() for a, b in zip(together, apart, strict=True)
    ]
    print(f"  after one epoch the two ways differ by {max(differences):.1e} (goal: 1e-5)\n")


def _on_one_core(run: Callable[[], object]) -> None:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        run()
    finally:
        os.sched_setaffinity(0, cores)


# ---- one step ----------------------------------------------------------------------------------


@at_work(1)
@one_thread()
def measure_step(samples: Samples) -> None:
    """Operations and bytes of a step, and how long they would take at this machine's ceilings."""
    batch, targets = samples.split("train").batch[:BATCH], torch.zeros(BATCH, 1)
    smp = build("smp", samples.batch.widths, 1, {})
    optimizer = torch.optim.Adam(smp.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        F.l1_loss(smp(batch), targets).backward()
        torch.nn.utils.clip_grad_norm_(smp.parameters(), 1.0)
        optimizer.step()

    operations = _operations(smp, batch)
    megabytes = _saved_bytes(lambda: smp(batch)) / 2**20
    a, b = torch.randn(BATCH * STEPS, 64), torch.randn(64, 64)
    big, copy = torch.randn(2, 16 << 20)
    best = fastest(20, step=step, product=lambda: a @ b)
    copying = fastest(20, copy=lambda: copy.copy_(big))["copy"]
    speed = 2 * a.numel() * b.shape[1] / best["product"]
    bandwidth = 2 * big.numel() * 4 / copying
    floor = operations / speed
    moved = 2 * megabytes * 2**20 / bandwidth
    print(f"a step of {BATCH} clips on one thread")
    print(f"  {operations / 1e9:.2f} G operations at {speed / 1e9:.0f} G/s, the speed of a")
    print(f"  [{BATCH * STEPS}, 64] × [64, 64] product here: {1e3 * floor:.0f} ms")
    print(f"  {megabytes:.0f} MiB kept for the gradient, written and read at")
    print(f"  {bandwidth / 1e9:.0f} GB/s, the speed of a copy here: {1e3 * moved:.0f} ms")
    print(
        f"  measured {1e3 * best['step']:.0f} ms, {best['step'] / floor:.1f} times the operations"
    )


@torch.no_grad()
def _operations(smp: torch.nn.Module, batch: Batch) -> int:
    """Of a step: thrice those of the forward, but for the maps, whose inputs need no gradient."""
    with FlopCounterMode(display=False) as counter:
        smp(batch)
    weights = {name: p.numel() for name, p in smp.named_parameters() if p.dim() == 2}
    maps = sum(size for name, size in weights.items() if name.startswith("maps."))
    lstms = sum(size for name, size in weights.items() if ".context." in name)  # not counted
    return 3 * (counter.get_total_flops() + 2 * BATCH * STEPS * lstms) - 2 * BATCH * STEPS * maps


def _saved_bytes(forward: Callable[[], object]) -> int:
    sizes: dict[int, int] = {}

    def pack(x: torch.Tensor) -> torch.Tensor:
        sizes[x.data_ptr()] = max(x.nbytes, sizes.get(x.data_ptr(), 0))  # once, however often kept
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        kept = forward()
    del kept
    return sum(sizes.values())


if __name__ == "__main__":
    main()
