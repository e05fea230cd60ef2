"""Whole commands on a device: the extraction, with little memory, and the tests that need one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.gpu_device import Device
from pipeline.store.cache import Cache, open_cache

ROOT = Path(__file__).parent.parent
SMP = "import sys; sys.argv[0] = 'smp'; from model.cli.group import main; main()"
WITHIN = "from benchmarks.gpu_memory import main; main()"
SHARE = 0.5  # of what it takes where there is enough
MARK = "pytest.mark.gpu"
CACHES = {"device": {}, "processor": {"CUDA_VISIBLE_DEVICES": ""}}
FEATURES = ("resnet18", "action_units", "mfcc", "wav2vec2", "bert")


def whole_extraction(where: Device) -> Iterator[str]:
    """`smp extract` of the built-in sample, with the device and without one: seconds, features."""
    with TemporaryDirectory() as folder:
        _sample(where, folder)
        for title, hidden in CACHES.items():
            began = time.perf_counter()
            _run(SMP, *_extraction(folder, title), env={**os.environ, **hidden})
            yield f"{title}: {time.perf_counter() - began:.1f} s"
        yield from _apart(*(open_cache(f"{folder}/{title}/sample") for title in CACHES))


def _apart(there: Cache, here: Cache) -> Iterator[str]:
    """How far the features of each stage are from the other's."""
    for name in FEATURES:
        one, other = there[name], here[name]
        alike = np.mean(one.states == other.states)
        off = np.nanmax(np.abs(one.read() - other.read()), initial=0)
        yield f"{name}: {alike:.0%} of the clips in the same state, off by {off:.2g} at most"


def little_memory(where: Device) -> Iterator[str]:
    """Memory that doesn't suffice costs time, no clip and not the run."""
    if not where.is_cuda:
        yield "needs a CUDA device"
        return
    with TemporaryDirectory() as folder:
        _sample(where, folder)
        most, _ = map(int, _run(WITHIN, "0", *_extraction(folder, "all")).split())
        yield f"with all of the memory the sample takes {most / 1e9:.2g} GB"
        little = str(int(SHARE * most))
        _, halvings = map(int, _run(WITHIN, little, *_extraction(folder, "little")).split())
        yield f"with {SHARE:.0%} of that it is extracted, batches halved {halvings} times"


def tests(where: Device) -> Iterator[str]:
    """Those marked `gpu`, a real device-side assert among them; no other file is imported."""
    code = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    files = [str(p) for p in (ROOT / "tests").rglob("test_*.py") if MARK in p.read_text("utf-8")]
    options = ["-m", "gpu", "-n", str(where.few(2, 4)), "-p", "no:cacheprovider"]
    yield _run(code, *options, f"--device={where.device}", *files)


def _sample(where: Device, folder: str) -> None:
    _run(SMP, "sample", f"{folder}/sample", "--clips", str(where.few(48, 70)))


def _extraction(folder: str, cache: str) -> list[str]:
    return ["extract", f"{folder}/sample", "--cache", f"{folder}/{cache}"]


def _run(code: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    """The last line that it prints; raises RuntimeError with the end of it all where it fails."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=env,
        cwd=ROOT,
    )
    if done.returncode:
        said = (done.stdout + done.stderr)[-1500:]
        raise RuntimeError(f"exit code {done.returncode}: {said}")
    return done.stdout.strip().splitlines()[-1]
