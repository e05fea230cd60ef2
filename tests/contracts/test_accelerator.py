"""What only a real device can show; `pytest -m gpu`, with `--device cpu` to rehearse it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
import torch

from model.network import Network
from model.networks import names
from model.registry import find
from model.step.stack import Stack
from model.training.loop import prepare, step_loss, train
from model.training.seeds import train_seeds
from model.training.stacked import begun
from pipeline.stage.extractor import Extractor
from pipeline.store.cache import open_cache
from pipeline.testing import ExtractorContract
from tests.conftest import Transcripts
from tests.contracts import test_extractors as contracts
from tests.contracts.pretended import action_units
from tests.model.networks.test_smp import SMALL
from tests.model.training.test_loop import QUICK, some_samples

pytestmark = pytest.mark.gpu

CLOSE, GREY_LEVELS = 1e-3, 2
CASES = [
    kind
    for name, kind in vars(contracts).items()
    if name.startswith("Test") and isinstance(kind, type) and issubclass(kind, ExtractorContract)
]


@pytest.fixture
def accelerator(request: pytest.FixtureRequest) -> str:
    name: str = request.config.getoption("--device")
    if name.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return name


@contextmanager
def no_wait(device: str) -> Iterator[None]:
    """Within, whatever makes the host wait for a CUDA device is an error."""
    if device.startswith("cuda"):
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if device.startswith("cuda"):
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
def test_an_extractor_gives_the_cpus_numbers(kind, accelerator, tmp_path):
    case = kind()
    case.tmp_path = tmp_path
    case.settings = action_units("multitask")  # of the one that has several
    given = case.extractor()
    if not hasattr(given.settings, "device"):
        pytest.skip("has no device")

    def rows(device: str) -> list:
        settings = given.settings.model_copy(update={"device": device})
        stage: Extractor = type(given)(settings, given.steps)
        return list(stage.extract(case.clips()))

    for one, other in zip(rows("cpu"), rows(accelerator), strict=True):
        assert (one.state, one.length) == (other.state, other.length)
        for field, row in one.rows.items():
            np.testing.assert_allclose(
                row, other.rows[field], atol=2 if field == "images" else CLOSE
            )


@pytest.mark.parametrize("name", names())
def test_the_plain_loop_repeats_itself_and_agrees_with_the_cpu(name, accelerator):
    settings = QUICK.model_copy(
        update={"model": name, "network": SMALL[name], "epochs": 1, "device": accelerator}
    )
    one, other = (train(some_samples(), settings) for _ in range(2))
    here = train(some_samples(), settings.model_copy(update={"device": "cpu"}))
    assert one.curve == other.curve
    np.testing.assert_allclose(one.predictions["test"], here.predictions["test"], atol=CLOSE)


@pytest.mark.parametrize("name", names())
def test_stacked_seeds_repeat_themselves_and_agree_with_the_cpus_plain_loop(name, accelerator):
    settings = QUICK.model_copy(
        update={"model": name, "network": SMALL[name], "epochs": 1, "device": accelerator}
    )
    predicted = lambda trained: trained.predictions["test"]  # noqa: E731
    stacked, again = (
        train_seeds(some_samples(), settings, [3, 0], predicted, stacked=True) for _ in range(2)
    )
    for seed, one, other in zip([3, 0], stacked, again, strict=True):
        assert np.array_equal(one, other)
        alone = settings.model_copy(update={"seed": seed, "device": "cpu"})
        np.testing.assert_allclose(one, predicted(train(some_samples(), alone)), atol=CLOSE)


@pytest.mark.parametrize("name", [name for name in names() if find(name).begin is Network.begin])
def test_a_step_of_stacked_seeds_never_waits(name, accelerator):
    settings = QUICK.model_copy(
        update={"model": name, "network": {}, "device": accelerator, "feature_dropout": 0.1}
    )
    prepared = prepare(some_samples(), settings)
    stack = Stack(*begun(prepared, some_samples(), [settings] * 2))
    optimizer = stack.optimizer(settings.lr, settings.weight_decay)
    rows = torch.zeros(2, 8, dtype=torch.int64).to(accelerator)
    for wait in (False, True):  # what is kept from the first step on is made in it
        with no_wait(accelerator if wait else ""):
            stack.each(partial(step_loss, prepared, settings), rows).sum().backward()
            stack.clip_gradients(settings.clip_norm)
            optimizer.step()
    assert stack.weights.isfinite().all()


def test_a_device_side_assert_ends_the_run_and_no_clip(accelerator, transcripts: Transcripts):
    if not accelerator.startswith("cuda"):
        pytest.skip("only CUDA has them")
    transcripts.texts(["one", "!asserts", "three", "four", "five", "six"])
    broken = str(transcripts.folder.parent / "broken")
    transcripts.stages(letters={"extractor": "tests.support.toys.asserting", "broken": broken})
    command = "import sys; sys.argv[0] = 'smp'; from model.cli.group import main; main()"
    arguments = ["extract", str(transcripts.folder), "--stages", str(transcripts.stages_file)]
    run = [sys.executable, "-c", command, *arguments, "--cache", transcripts.cache_root, "--serial"]
    first = subprocess.run(run, capture_output=True, text=True)
    assert first.returncode == 1
    assert "device-side assert" in first.stderr
    assert subprocess.run(run).returncode == 0
    assert open_cache(transcripts.cache_url)["letters"].states.tolist() == ["ok"] * 6
