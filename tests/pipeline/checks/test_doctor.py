"""`smp doctor`: what it finds on machines that lack one thing or another."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from model.cli.group import main
from pipeline.checks import doctor
from pipeline.checks.doctor import NOTE, OK, PROBLEM
from pipeline.dag.spec import StagesFile
from pipeline.encoders.engine_trial import Tried
from pipeline.media import codecs
from pipeline.sample.write import STAGES
from pipeline.system import resources
from tests.support.paths import ROOT

SAMPLE = ROOT / "pipeline/sample" / STAGES


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "answers", lambda url: False)


def run(*arguments: str) -> tuple[int, dict[str, dict[str, str]], str]:
    done = CliRunner().invoke(main, ["doctor", *arguments], catch_exceptions=False)
    found = json.loads(done.stdout)["findings"] if "--json" in arguments else []
    return done.exit_code, {one["name"]: one for one in found}, done.stdout


def test_a_machine_on_which_the_tests_pass_has_no_problem(tmp_path: Path) -> None:
    code, found, _ = run("--stages", str(SAMPLE), "--cache", str(tmp_path / "cache"), "--json")
    assert code == 0
    assert [one for one in found.values() if one["state"] == PROBLEM] == []
    assert found.keys() - {"precision"} == {  # a note where the processor has AMX
        "packages", "libGL", "codecs", "GPU", "cores", "memory", "disk", "engines", "network",
        "models",
    }  # fmt: skip
    for codec in ("h264", "hevc", "vp9", "aac", "opus"):
        assert codec in found["codecs"]["found"].partition(";")[0], "written and read back"
    assert all(one["advice"] for one in found.values() if one["state"] != OK)


def test_models_that_are_nowhere_are_a_problem_and_what_to_do_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    stages = tmp_path / "stages.yaml"
    stages.write_text("stages:\n  bert: {weights: own/net}\n")
    code, _, told = run("--stages", str(stages), "--cache", str(tmp_path))
    assert code == 1
    assert f"problem  models: missing for {stages}: own/net\n         → run smp models pull" in told
    monkeypatch.setattr(resources, "answers", lambda url: True)
    code, found, _ = run("--stages", str(stages), "--cache", str(tmp_path), "--json")
    assert (code, found["models"]["state"], found["network"]["state"]) == (0, NOTE, OK)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert doctor.network().found.startswith("HF_HUB_OFFLINE is set")
    stages.write_text("stages:\n  bert: {weigths: own/net}\n")
    assert doctor.models(StagesFile(stages), can_fetch=True).state == PROBLEM


def test_packages_are_held_against_what_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = importlib.metadata.version

    def version(name: str) -> str:
        if name == "zarr":
            raise importlib.metadata.PackageNotFoundError(name)
        return "2.13.0" if name == "torch" else installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = doctor.packages()
    assert found.state == PROBLEM
    assert "torch 2.13.0 (needed: !=2.13.0,>=2.6)" in found.found
    assert "zarr is not installed (needed: >=" in found.found


def test_opencv_without_its_libraries_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    found = doctor.opencv()
    assert (found.state, found.name) == (PROBLEM, "libGL")
    assert "libgl1" in found.advice


@pytest.mark.parametrize(("codec", "state"), [("h264", PROBLEM), ("aac", PROBLEM), ("vp9", NOTE)])
def test_a_codec_that_decodes_to_something_else_is_found(
    codec: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "_film" if codec in codecs.VIDEO_ENCODERS else "_record"
    write = getattr(codecs, name)

    def spoilt(path: Path, encoder: str) -> None:
        write(path, encoder)
        if path.stem == codec:
            path.write_bytes(path.read_bytes()[:200])

    monkeypatch.setattr(codecs, name, spoilt)
    found = doctor.codecs()
    assert found.state == state
    assert f"not decoded: {codec} (" in found.found


def test_memory_and_disk_that_do_not_suffice_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for free, state in ((5e8, PROBLEM), (3e9, NOTE), (9e9, OK)):
        monkeypatch.setattr(resources, "free_bytes", lambda free=free: int(free))
        assert doctor.memory().state == state
    for free, state in ((1e8, PROBLEM), (3e9, NOTE), (9e9, OK)):
        usage = SimpleNamespace(free=int(free))
        monkeypatch.setattr("shutil.disk_usage", lambda path, usage=usage: usage)
        assert doctor.disk(str(tmp_path / "not" / "yet")).state == state
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert doctor.disk(str(tmp_path)).found.endswith("can't be written to")
    assert doctor.disk("s3://bucket/cache").state == OK


def test_the_limits_of_a_container_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "CGROUP", tmp_path)
    there = resources.cores()
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert resources.cores() == there
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert resources.cores() == 1
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert resources.free_bytes() == 2_000_000
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert doctor.cores().found.startswith("1 of 8 may be used")


def test_torch_is_loaded_only_where_there_is_a_driver() -> None:
    code = (
        "import sys; from pipeline.checks import doctor; doctor.DRIVER_SIGNS = ()\n"
        "doctor.shutil.which = lambda name: None\n"
        "print(doctor.gpu().state, 'torch' in sys.modules)\n"
        "doctor.shutil.which = lambda name: name\n"
        "print(doctor.gpu().state, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    without, with_driver = done.stdout.splitlines()
    assert without == "note False"
    assert with_driver.endswith(" True")


def test_engines_that_are_named_must_be_there_and_what_computes_each_stage_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = tmp_path / "stages.yaml"
    stages.write_text(
        "stages: {frames: {}, faces: {needs: frames}, bert: {weights: random},"
        "resnet18: {engine: auto, weights: random, needs: faces}}\n"
    )
    tried = list[Tried]()
    monkeypatch.setattr("pipeline.encoders.engine_library.installed", lambda: {"openvino": "9"})
    monkeypatch.setattr("pipeline.encoders.engine_trial.remembered", lambda: tried)

    def told() -> str:
        return doctor.engines(StagesFile(stages)).found.partition("openvino 9; ")[2]

    assert told() == "bert: torch; resnet18: auto, tried at its first use here"
    tried += [Tried("resnet18", "random", "openvino", "9", "p", 2e-7, 1.5)]
    fast = "openvino, 1.5 times as fast as torch, within 2e-07 of it"
    assert told() == f"bert: torch; resnet18: {fast}"
    tried[:] = [replace(tried[0], error="it differs")]
    assert told() == "bert: torch; resnet18: torch (openvino: it differs)"
    monkeypatch.setattr("pipeline.encoders.engine_library.installed", dict)
    stages.write_text(SAMPLE.read_text().replace("resnet18: {", "resnet18: {engine: openvino, "))
    found = doctor.engines(StagesFile(stages))
    assert (found.state, "smp-sentiment[openvino]" in found.found) == (PROBLEM, True)


@pytest.mark.parametrize("flags", ["avx2 amx_bf16", "avx2"])
def test_bfloat16_is_offered_where_the_processor_has_instructions_for_it(
    flags: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.system.processor.about", lambda: {"flags": flags})
    stages = tmp_path / "stages.yaml"
    low = "mine: {extractor: bert, weights: random, precision: bfloat16}"
    stages.write_text(f"stages: {{bert: {{weights: random}}, {low}}}\n")
    found = list(doctor.precision(StagesFile(stages)))
    assert [one.found for one in found] == (
        ["this processor has AMX, and bert would be faster in bfloat16"] if "amx" in flags else []
    )
