"""What a command loads before it does anything: no library that it has no use for."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Transcripts
from tests.support.paths import ROOT

COMPUTING = {"torch", "transformers", "dask", "distributed", "cv2", "av", "feat", "scipy", "pandas"}
READING = {"numpy", "zarr", "fsspec", "pydantic", "yaml", "rich"}
LOADED = """
import sys
from model.cli.group import main
main(sys.argv[1:], standalone_mode=False)
print("loaded:", *(name for name in sys.modules if "." not in name))
"""
STAGES = """
stages:
  frames:
  faces: {needs: frames}
  resnet18: {needs: faces, weights: random}
  action_units: {needs: [frames, faces], weights: random}
  audio:
  mfcc: {needs: audio}
  wav2vec2: {needs: audio, weights: random}
  bert: {weights: random}
"""


def loaded(*arguments: object) -> set[str]:
    """The top-level modules that are there once a command has done its work."""
    command = [sys.executable, "-c", LOADED, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert "loaded: " in done.stdout, done.stdout + done.stderr
    return set(done.stdout.rpartition("loaded: ")[2].split())


def module(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize("name", ["pipeline", "model", "model.cli.group"])
def test_a_package_is_run_as_a_program(name: str, tmp_path: Path) -> None:
    told = module(name, "--help")
    assert told.returncode == 0
    assert told.stdout.startswith(f"Usage: python -m {name} [OPTIONS] COMMAND")
    assert "  extract " in told.stdout
    assert ("  train " in told.stdout) == name.startswith("model")
    refused = module(name, "status", tmp_path)
    assert refused.returncode == 2
    assert "nothing extracted yet" in refused.stderr
    unknown = module(name, "paint")
    assert unknown.returncode == 2
    assert "No such command 'paint'" in unknown.stderr


@pytest.mark.parametrize("name", ["pipeline", "model"])
def test_a_package_that_a_worker_imports_again_runs_nothing(name: str) -> None:
    runpy.run_module(f"{name}.__main__", run_name="__mp_main__")


@pytest.mark.parametrize("command", [(), ("extract",)], ids=["smp", "smp extract"])
def test_help_loads_neither_what_computes_nor_what_reads(command: tuple[str, ...]) -> None:
    found = loaded(*command, "--help")
    assert "click" in found
    assert not found & (COMPUTING | READING)


def test_a_plan_and_the_status_load_nothing_that_computes(transcripts: Transcripts) -> None:
    transcripts.texts(["one", "two"])
    transcripts.extract()
    cache = ("--cache", transcripts.cache_root)
    found = loaded("status", transcripts.folder, *cache)
    assert "zarr" in found
    assert not found & COMPUTING
    transcripts.stages_file.write_text(STAGES)
    where = (*cache, "--stages", transcripts.stages_file)
    found = loaded("extract", transcripts.folder, *where, "--plan")
    assert "zarr" in found
    assert not found & COMPUTING


@pytest.mark.slow
def test_the_multitask_network_loads_nothing_that_draws_or_fits_and_leaves_py_feat_whole() -> None:
    code = (
        "import sys; from pipeline.encoders import py_feat_random; "
        "py_feat_random.multitask('cpu'); print(*sys.modules); import feat; "
        "print(feat.utils.__name__, hasattr(feat, '__path__'), 'feat.detector_v2' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    names, of_feat = done.stdout.splitlines()
    assert not {"matplotlib", "sklearn", "xgboost", "skimage", "feat.plotting"} & {*names.split()}
    assert of_feat == "feat.utils True False"
