"""Every extractor and model with a device, on a pretended one and on the CPU: a JSON object.

By name: `off`, how far its numbers are from the CPU's, and once networks are there `waits`, how
often the host would wait for the device, and `back`, the bytes that it copies from there, where
`kept` are those of the features; `halved`, how often a batch is halved where memory runs out in the
middle, and `off_halved`, how far numbers are from the CPU's then. Run by `test_devices`, in a
process of its own.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from model.data.batch import Batch
from model.data.samples import Samples
from model.data.truth import scored
from model.metrics import MOSI
from model.networks import names
from model.registry import build
from model.step.adam import Adam
from model.training.loop import step_loss, train
from model.training.seeds import train_seeds
from model.training.settings import TrainSettings
from pipeline.extractors.action_units import ActionUnits
from pipeline.runner.attempt import Attempt
from pipeline.stage.extractor import Extractor
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings
from pipeline.testing import ExtractorContract
from tests.contracts import test_extractors as contracts
from tests.model.networks.test_smp import SMALL
from tests.model.training.test_stacked import Watched
from tests.support import pretend_device
from tests.support.pretend_device import NAME

CLIPS, STEPS = 40, 4
WIDTHS = {"visual": 5, "audio": 4, "text": 3}
Found = dict[str, Any]


def extractors() -> dict[str, Found]:
    """Of each extractor that the contract tests know and that can be set to a device."""
    found = {}
    for name, kind in vars(contracts).items():
        is_contract = isinstance(kind, type) and issubclass(kind, ExtractorContract)
        if not (is_contract and name.startswith("Test")):
            continue
        case: Any = kind()
        case.tmp_path = Path(tempfile.mkdtemp())
        for backend in ("multitask", "xgb") if kind is contracts.TestActionUnits else ("",):
            if backend:
                case.settings = action_units(backend)
            if hasattr(case.extractor().settings, "device"):
                title = f"{name.removeprefix('Test')} {backend}".strip()
                found[title] = _told(lambda: _extractor(case.extractor(), case.clips))  # noqa: B023
    return found


def action_units(backend: str) -> ActionUnits.Settings:
    landmarks = {"landmark_weights": "random"} if backend == "xgb" else {}
    return ActionUnits.Settings(weights="random", backend=backend, **landmarks)


def _told(run: Callable[[], Found]) -> Found:
    try:
        return run()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _extractor(extractor: Extractor, clips: Callable[[], Sequence[ClipInputs]]) -> Found:
    # As many clips together on both: faces differ by rounding otherwise.
    together = {"batch_clips": 2} if hasattr(extractor.settings, "batch_clips") else {}
    here, there = (
        type(extractor)(
            extractor.settings.model_copy(update={"device": name, **together}), extractor.steps
        )
        for name in ("cpu", NAME)
    )
    truth = list(here.extract(clips()))
    list(there.extract(clips()))  # which loads its networks
    pretend_device.counts.clear()
    found = {"off": _off(truth, there.extract(clips())), **_counted()}
    kept = sum(np.asarray(one.rows.get("features", ())).nbytes for one in truth)
    return {**found, "kept": kept, **_halved(there, clips(), truth)}


def _off(truth: Sequence[ClipResult], found: Iterable[ClipResult]) -> float:
    off = 0.0
    for one, other in zip(truth, found, strict=True):
        assert (one.state, one.length) == (other.state, other.length)
        for field, row in one.rows.items():
            difference = np.asarray(row, float) - np.asarray(other.rows[field], float)
            off = max(off, float(np.abs(difference).max(initial=0)))
    return off


def _halved(
    extractor: Extractor, clips: Sequence[ClipInputs], truth: Sequence[ClipResult]
) -> Found:
    """Of an extraction by the runner that meets the end of memory halfway."""
    counted = patch.object(Attempt, "_in_halves", autospec=True, side_effect=Attempt._in_halves)
    pretend_device.run_out_of_memory_after(pretend_device.counts["kernel"] // 2)
    with counted as halvings:
        stage: Any = Halving(type(extractor), extractor.settings, extractor.steps)
        found = Attempt(stage, dict(enumerate(clips)), {}).results()
    pretend_device.run_out_of_memory_after(0)
    return {"halved": halvings.call_count, "off_halved": _off(truth, found.values())}


@dataclass(frozen=True)
class Halving:
    """What an attempt asks of a stage."""

    kind: type[Extractor]
    settings: StageSettings
    steps: int

    def make(self) -> Extractor:
        return self.kind(self.settings, self.steps)

    def having(self, settings: StageSettings) -> Halving:
        return replace(self, settings=settings)


def _counted() -> Found:
    counts = pretend_device.counts
    back = counts[pretend_device.BYTES]
    return {"waits": pretend_device.waits(), "kernels": counts["kernel"], "back": back}


def models() -> dict[str, Found]:
    """Of each model: `off`, of its test predictions, and `waits` that a step more costs."""
    found = {}
    for name in names():
        few, more = (
            TrainSettings(model=name, epochs=1, batch=batch, device=NAME) for batch in (12, 3)
        )
        found[name] = _told(lambda: _model(few, more))  # noqa: B023
    return found


def _model(few: TrainSettings, more: TrainSettings) -> Found:
    samples, waited = some_samples(), []
    for settings in (few, few, more):  # the first time of all has calls of its own
        pretend_device.counts.clear()
        train(samples, settings)
        waited.append(pretend_device.waits())
    here, there = (_gradients(samples, settings.model, name) for name in ("cpu", NAME))
    off = max(float((one - other).abs().max()) for one, other in zip(here, there, strict=True))
    return {"off": off, "waits": waited[2] - waited[1]}


def stacks() -> dict[str, Found]:
    """Of two seeds as one network: as `models`, off what the CPU makes of each.

    `kinds`: how many differ among the steps of two epochs, by what they compute and its shapes.
    """
    found = {}
    for name in ("smp", "ef_lstm"):  # which do things of their own in a stack
        settings = TrainSettings(model=name, network=SMALL[name], epochs=1, device=NAME)
        found[name] = _told(lambda: _stack(settings))  # noqa: B023
    return found


def _stack(settings: TrainSettings) -> Found:
    samples, seeds, waited = some_samples(), [0, 1], []
    for batch in (12, 12, 6):  # the first time of all has calls of its own
        pretend_device.counts.clear()
        own = settings.model_copy(update={"batch": batch})
        stacked = train_seeds(samples, own, seeds, lambda trained: trained.predictions["test"])
        waited.append(pretend_device.waits())
    here = [own.model_copy(update={"device": "cpu", "seed": seed}) for seed in seeds]
    apart = [train(samples, one).predictions["test"] for one in here]
    off = max(float(np.abs(a - b).max()) for a, b in zip(stacked, apart, strict=True))
    return {"off": off, "waits": waited[2] - waited[1], "kinds": _kinds_of_steps(settings)}


def _kinds_of_steps(settings: TrainSettings) -> int:
    """With dropout, where the last batch of an epoch is smaller."""
    dropped = {"feature_dropout": 0.1, "network": {}, "batch": 5, "epochs": 2}
    own, steps = settings.model_copy(update=dropped), []

    def begun(*given: Any, **named: Any) -> torch.Tensor:
        steps.append(len(watched.shapes))
        return step_loss(*given, **named)

    def ended(adam: Adam) -> None:
        step(adam)
        steps.append(len(watched.shapes))

    step = Adam.step
    with (
        patch("model.training.stacked.step_loss", begun),
        patch.object(Adam, "step", ended),
        Watched() as watched,
    ):
        train_seeds(some_samples(), own, [0, 1], lambda trained: None)
    assert len(steps) == 2 * 2 * -(-CLIPS * 3 // 5 // own.batch)
    parts = zip(steps[2::2], steps[3::2], strict=True)  # the first makes what is kept
    return len({tuple(watched.shapes[begin:end]) for begin, end in parts})


def _gradients(samples: Samples, model: str, device: str) -> list[torch.Tensor]:
    """Of a loss without dropout, after its outputs."""
    torch.manual_seed(0)
    network = build(model, WIDTHS, 1, {}).to(device).eval()
    outputs = network(samples.batch.to(device))
    outputs.square().sum().backward()
    return [
        outputs.detach().cpu(),
        *(p.grad.cpu() for p in network.parameters() if p.grad is not None),
    ]


def some_samples(steps: int = STEPS) -> Samples:
    """Noise of several lengths; 24 clips to train on."""
    random = torch.Generator().manual_seed(0)
    features = {m: torch.randn(CLIPS, steps, w, generator=random) for m, w in WIDTHS.items()}
    lengths = {m: torch.randint(1, steps + 1, (CLIPS,), generator=random) for m in WIDTHS}
    labels = np.linspace(-3, 3, CLIPS)
    splits = np.array((["train"] * 3 + ["valid", "test"]) * (CLIPS // 5))
    ids = [str(i) for i in range(CLIPS)]
    return Samples("noise", ids, Batch(features, lengths), labels, splits, scored(MOSI))


def planted() -> dict[str, Found]:
    """Faults to be noticed: a tensor left on the CPU, a number asked for, a copy that waits."""
    there = torch.ones(3, device=NAME)
    pretend_device.counts.clear()
    there.sum().item()
    item = _counted()
    pretend_device.counts.clear()
    torch.ones(3).to(NAME)
    return {
        "a tensor on the CPU": _told(lambda: {"got": str(there + torch.ones(3))}),
        "an item": item,
        "memory that is not pinned": _counted(),
    }


if __name__ == "__main__":
    pretend_device.install()
    torch.set_num_threads(1)
    json.dump(
        {
            "planted": planted(),
            "extractors": extractors(),
            "models": models(),
            "stacks": stacks(),
        },
        sys.stdout,
        indent=1,
    )
