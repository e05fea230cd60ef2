"""Whole commands on a device: the extraction, with little memory, and the tests that need one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from tempfile import TemporaryDirectory

from benchmarks.gpu_device import Device

LITTLE = 0.02  # of the device's memory
SMP = "import sys; sys.argv[0] = 'smp'; from model.cli.group import main; main()"


def whole_extraction(where: Device) -> Iterator[str]:
    """`smp extract` of the built-in sample, with the device and without one."""
    with TemporaryDirectory() as folder:
        _run(SMP, "sample", f"{folder}/sample")
        for title, hidden in (("device", None), ("processor", "")):
            env = {**os.environ, **({} if hidden is None else {"CUDA_VISIBLE_DEVICES": hidden})}
            if title == "device" and not where.is_cuda:
                continue
            began = time.perf_counter()
            _run(SMP, "extract", f"{folder}/sample", "--cache", f"{folder}/{title}", env=env)
            yield f"{title}: {time.perf_counter() - began:.1f} s"


def little_memory(where: Device) -> Iterator[str]:
    """Memory that doesn't suffice costs time, no clip and not the run."""
    if not where.is_cuda:
        yield "needs a CUDA device"
        return
    limited = f"import torch; torch.cuda.set_per_process_memory_fraction({LITTLE}); {SMP}"
    with TemporaryDirectory() as folder:
        _run(SMP, "sample", f"{folder}/sample")
        _run(limited, "extract", f"{folder}/sample", "--cache", f"{folder}/cache")
        yield f"with {LITTLE:.0%} of it the sample is extracted"


def tests(where: Device) -> Iterator[str]:
    """Those marked `gpu`, a real device-side assert among them."""
    code = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    yield _run(code, "-m", "gpu", "-q", "-p", "no:cacheprovider", f"--device={where.device}")


def _run(code: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    """The last line that it prints; raises RuntimeError with the end of it all where it fails."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=env
    )
    if done.returncode:
        said = (done.stdout + done.stderr)[-1500:]
        raise RuntimeError(f"exit code {done.returncode}: {said}")
    return done.stdout.strip().splitlines()[-1]
