"""Each network in each engine: milliseconds an item, agreement with torch, cost of converting."""

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
from transformers import AutoModel

from benchmarks import full_size
from pipeline.encoders import engine as engines
from pipeline.encoders import engine_library, engine_trial, resnet18
from pipeline.encoders.engine_trial import Subject
from pipeline.encoders.few_at_once import PICTURES, FewAtOnce
from pipeline.encoders.py_feat import FACES, MODEL_INPUT, Multitask
from pipeline.errors import UserError
from pipeline.media.waveform import RATE_HZ

ROUNDS = 2
SOUND = (1, round(3.7 * RATE_HZ))  # the mean clip of CH-SIMS
TEXT, IDS = (1, 16), 30_000
OF_FACES = ((PICTURES, 3, MODEL_INPUT, MODEL_INPUT),)
SUBJECTS = {
    "resnet18": Subject("resnet18", "", OF_FACES),
    "action_units": Subject("action_units", "", OF_FACES, layer="backbone"),
    "wav2vec2": Subject("wav2vec2", "", (SOUND, (1, 20123))),
    "bert": Subject("bert", "", (TEXT, (1, 9)), ids=IDS),
}


def main() -> None:
    """Convert each network, run all of its engines by turns on one thread, print the table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        networks = loaders(Path(folder))
        print(f"{FACES} faces, 3.7 s of sound, a text of {TEXT[1]} tokens; one thread, the least of"
              f" {ROUNDS} rounds; {torch.backends.cpu.get_cpu_capability()}")  # fmt: skip
        print(f"{'':<14}{'':<20}{'ms':>10}{'ratio':>8}{'differs by':>12}{'ready in s':>12}")
        for name in sys.argv[1:] or networks:
            _print(SUBJECTS[name], networks[name])


def loaders(folder: Path) -> dict[str, Callable[[], torch.nn.Module]]:
    """Of each network by its name, at full size; the checkpoints are written to `folder`."""
    spec = yaml.safe_load(full_size.write_stages(folder).read_text())["stages"]
    paths = {name: Path(spec[name]["weights"]) for name in SUBJECTS}
    return {
        "resnet18": lambda: resnet18.from_checkpoint(paths["resnet18"], "cpu"),
        "action_units": lambda: _backbone(paths["action_units"]),
        "wav2vec2": lambda: _states(paths["wav2vec2"]),
        "bert": lambda: _states(paths["bert"]),
    }


def _backbone(path: Path) -> torch.nn.Module:
    """What an engine computes of py-feat's network; the rest, 4 % of the work, stays torch's."""
    backbone: torch.nn.Module = Multitask.load(path, "cpu").model.model.backbone
    return backbone


def _states(folder: Path) -> torch.nn.Module:
    """The network in a folder of the hub's layout, which gives its last states alone."""

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModel.from_pretrained(folder)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            states: torch.Tensor = self.model(x).last_hidden_state
            return states

    return States().eval().requires_grad_(False)


def _print(subject: Subject, load: Callable[[], torch.nn.Module]) -> None:
    x, network = subject.probes()[0], load()
    sides: dict[str, Any] = {"torch": network}
    if subject.shapes == OF_FACES:
        x = x.repeat(FACES // PICTURES, 1, 1, 1)
        sides = {"torch": FewAtOnce(network), f"torch, {FACES} at once": network}
    ready_s, refused = {}, {}
    for engine in engine_library.installed():
        started = time.process_time()
        try:
            sides[engine] = engines.engaged(network, subject, engine)  # type: ignore[arg-type]
        except UserError as error:
            refused[engine] = str(error).partition("; set")[0]
        ready_s[engine] = time.process_time() - started
    differ = {
        t.engine: t.difference for t in engine_trial.remembered() if t.network == subject.name
    }
    took: dict[str, list[float]] = {side: [] for side in sides}
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for side, computed in sides.items():
                started = time.process_time()
                computed(x)
                took[side].append((time.process_time() - started) / len(x) * 1e3)
    for side, ms in took.items():
        agreed = f"{differ[side]:.0e}" if side in differ else ""
        ready = f"{ready_s[side]:.0f}" if side in ready_s else ""
        ratio = f"{min(took['torch']) / min(ms):.2f}×"
        told = f"{subject.name:<14}{side:<20}{min(ms):>10.1f}{ratio:>8}{agreed:>12}{ready:>12}"
        print(told.rstrip(), flush=True)
    for why in refused.values():
        print(f"{subject.name:<14}{why}")


if __name__ == "__main__":
    main()
