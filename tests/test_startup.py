"""What a command loads before it does anything: no library that it has no use for."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Transcripts

ROOT = Path(__file__).parent.parent
COMPUTING = {"torch", "transformers", "dask", "distributed", "cv2", "av", "feat", "scipy", "pandas"}
READING = {"numpy", "zarr", "fsspec", "pydantic", "yaml", "rich"}
LOADED = """
import sys
from model.cli import main
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
