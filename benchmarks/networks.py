"""The networks of faces in each engine: milliseconds a face, agreement, cost of converting."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks import full_size
from pipeline.encoders import engine as engines
from pipeline.encoders import resnet18
from pipeline.encoders.py_feat import FACES, MODEL_INPUT, Multitask
from pipeline.errors import UserError

ROUNDS = 2
SHAPE = (FACES, 3, MODEL_INPUT, MODEL_INPUT)


def main() -> None:
    """Convert each network, run all of its engines by turns on one thread, print the table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        spec = yaml.safe_load(full_size.write_stages(Path(folder)).read_text())["stages"]
        networks: dict[str, Callable[[], torch.nn.Module]] = {
            "resnet18": lambda: resnet18.from_checkpoint(Path(spec["resnet18"]["weights"]), "cpu"),
            "action_units": lambda: (
                Multitask.load(Path(spec["action_units"]["weights"]), "cpu").model.model
            ),
        }
        print(f"{FACES} faces a batch, one thread, the least of {ROUNDS} rounds; "
              f"{torch.backends.cpu.get_cpu_capability()}")  # fmt: skip
        print(f"{'':<14}{'':<16}{'ms a face':>10}{'ratio':>8}{'differs by':>12}{'ready in s':>12}")
        for name in sys.argv[1:] or networks:
            _print(name, networks[name])


def _print(name: str, load: Callable[[], torch.nn.Module]) -> None:
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    sides: dict[str, Any] = {"torch": load()}
    ready_s = {}
    for engine in engines.installed():
        started = time.perf_counter()
        try:
            sides[engine] = engines.engaged(sides["torch"], name, name, SHAPE, engine)  # type: ignore[arg-type]
        except UserError as error:
            print(error)
        ready_s[engine] = time.perf_counter() - started
    sides["channels last"] = load().to(memory_format=torch.channels_last)
    differ = {t.engine: t.difference for t in engines.remembered() if t.network == name}
    took: dict[str, list[float]] = {side: [] for side in sides}
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for side, network in sides.items():
                laid = torch.channels_last if side == "channels last" else torch.contiguous_format
                given = x.to(memory_format=laid)
                started = time.process_time()
                network(given)
                took[side].append((time.process_time() - started) / FACES * 1e3)
    for side, ms in took.items():
        agreed = f"{differ[side]:.0e}" if side in differ else ""
        ready = f"{ready_s[side]:.0f}" if side in ready_s else ""
        ratio = f"{min(took['torch']) / min(ms):.2f}×"
        print(f"{name:<14}{side:<16}{min(ms):>10.1f}{ratio:>8}{agreed:>12}{ready:>12}".rstrip())


if __name__ == "__main__":
    main()
