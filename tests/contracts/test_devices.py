"""Every stage and model on an accelerator: the CPU's numbers, and few waits for the device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from torch.utils import backend_registration

CLOSE, GREY_LEVEL = 1e-4, 1.0  # which a face's neighbours may make
WAITS = {  # of the host for the device, at most, for all the clips of the contract's test
    "Faces": 13,  # a window of all clips: 12 for the cascade, 1 for the look
    "WorseFaces": 13,
    "Resnet18": 2,  # one a batch of 4 faces
    "Resnet18ByWord": 2,
    "ActionUnits multitask": 1,  # of all outputs of the 7 faces
    "ActionUnitsOfWorseFaces": 1,
    "ActionUnits xgb": 12,  # py-feat's own: landmarks, hulls and HOG are on the CPU in turn
    "Alignment": 6,  # one a clip, as in wav2vec2
    "Asr": 43,  # whether speech goes on, token by token; two for what a clip's begins with
    "Bert": 2,  # of a batch, one for transformers' question whether anything is masked
    "ImageEncoder": 3,
    "VideoEncoder": 6,  # two a clip; VideoMAE brings its positions each time
    "Wav2vec2": 2,
    "Mortal": 0,
}


KEPT_ALONE = ("Bert", "ImageEncoder", "Resnet18", "Wav2vec2")  # come back from the device


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What `pretended` finds: torch can have one such device a process, for good."""
    if not hasattr(backend_registration, "_DummyBackendModule"):
        pytest.skip("this torch can't pretend a device in Python")
    done = subprocess.run(
        [sys.executable, "-m", "tests.contracts.pretended"],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_is_planted_is_noticed(found: dict[str, Any]) -> None:
    planted = found["planted"]
    assert "'pretend:0'), ((3,), 'cpu')" in planted["a tensor on the CPU"]["error"]
    assert planted["an item"]["waits"] == planted["memory that is not pinned"]["waits"] == 1


def test_every_extractor_gives_the_cpus_numbers_within_its_waits(found: dict[str, Any]) -> None:
    of = found["extractors"]
    assert of.keys() == WAITS.keys()
    assert not {name: case["error"] for name, case in of.items() if "error" in case}
    assert {name: case["off"] for name, case in of.items() if case["off"] > CLOSE} == {}
    assert {name: case["waits"] for name, case in of.items() if case["waits"] > WAITS[name]} == {}


def test_every_extractor_goes_on_in_halves_where_memory_runs_out(found: dict[str, Any]) -> None:
    of = {name: case for name, case in found["extractors"].items() if case["kernels"]}
    assert {name: case["halved"] for name, case in of.items()} == dict.fromkeys(of, 1)
    close = {name: GREY_LEVEL if name in ("Faces", "WorseFaces") else CLOSE for name in of}
    assert {n: case["off_halved"] for n, case in of.items() if case["off_halved"] > close[n]} == {}


def test_only_what_is_kept_comes_back(found: dict[str, Any]) -> None:
    of = found["extractors"]
    assert {name: of[name]["back"] - of[name]["kept"] for name in KEPT_ALONE} == dict.fromkeys(
        KEPT_ALONE, 0
    )


def test_all_steps_of_stacked_seeds_are_alike_also_the_last_of_an_epoch(
    found: dict[str, Any],
) -> None:
    assert {name: case["kinds"] for name, case in found["stacks"].items()} == {
        "smp": 1,
        "ef_lstm": 1,
    }


@pytest.mark.parametrize("manner", ["models", "stacks"])
def test_every_model_gives_the_cpus_numbers_and_no_step_waits(
    manner: str, found: dict[str, Any]
) -> None:
    of = found[manner]
    assert not {name: case["error"] for name, case in of.items() if "error" in case}
    assert {name: case["off"] for name, case in of.items() if case["off"] > CLOSE} == {}
    assert {name: case["waits"] for name, case in of.items() if case["waits"]} == {}
