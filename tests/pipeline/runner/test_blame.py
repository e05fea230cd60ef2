"""Whose fault a failure is: a clip's, which is marked, or the stage's, which commits nothing."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from model.cli.group import main
from pipeline import open_cache
from pipeline.checks import doctor
from pipeline.dag.spec import DEFAULT_FILE, Stages
from pipeline.dag.stage import built_in, extractor_class
from pipeline.errors import UserError
from pipeline.runner.dask_engine import DaskEngine
from pipeline.runner.serial import run_serially
from pipeline.runner.types import Engine
from pipeline.system.device import is_broken, require
from tests.conftest import Transcripts

TEXTS = ["one", "two", "three", "four", "five", "six"]
WEIGHED = {
    name
    for name in built_in()
    if "weights" in extractor_class(name, name).Settings.marked("by_content")
}
ENGINES = {"serial": ["--serial"], "threads": []}


def smp_extract(transcripts: Transcripts, *options: str) -> Result:
    stages = ["--stages", str(transcripts.stages_file), "--cache", transcripts.cache_root]
    return CliRunner().invoke(main, ["extract", str(transcripts.folder), *stages, *options])


def letters(transcripts: Transcripts, **settings: object) -> None:
    transcripts.stages(letters={"extractor": "tests.support.toys.letters", **settings})


def commits(transcripts: Transcripts) -> list[Path]:
    return list(Path(transcripts.cache_url).glob("*/*.zarr/commits/[0-9]*.json"))


def logged(transcripts: Transcripts) -> list[str]:
    """The tracebacks in the log of the runs."""
    lines = Path(transcripts.cache_url, "log.jsonl").read_text().splitlines()
    return [trace for line in lines for trace in json.loads(line)["traces"]]


# ---- settings, before anything runs


def mortal(transcripts: Transcripts, device: str) -> None:
    transcripts.stages(letters={"extractor": "tests.support.toys.mortal", "device": device})


@pytest.mark.parametrize("name", ["faces", "resnet18", "action_units", "wav2vec2", "asr", "bert"])
@pytest.mark.parametrize("device", ["gpu", "cuda:", "CUDA", "cuda0", "cpu:1:2", "", "0"])
def test_no_stage_takes_a_device_that_there_is_not(name: str, device: str) -> None:
    box: dict[str, object] = {"extractor": name, "device": device}
    with pytest.raises(UserError, match=r"device: no device is called so.+\(got '.*'\)"):
        Stages({"stages": {name: box}})


def test_every_runtime_setting_has_its_limits() -> None:
    for stage in Stages.load(DEFAULT_FILE):
        for name in stage.settings.marked("runtime"):
            box = {"extractor": stage.extractor, name: "much" if name != "device" else 1}
            with pytest.raises(UserError, match=f"{name}: "):
                Stages({"stages": {stage.name: box}})
            if isinstance(stage.settings.default(name), int | float):
                with pytest.raises(UserError, match=f"{name}: .+greater than"):
                    Stages({"stages": {stage.name: {**box, name: -1}}})


@pytest.mark.parametrize("engine", ENGINES)
def test_a_device_that_can_not_be_used_ends_a_run_before_it_begins_and_sticks_to_no_clip(
    transcripts: Transcripts, engine: str
) -> None:
    transcripts.texts(TEXTS)
    mortal(transcripts, "gpu")
    told = smp_extract(transcripts, *ENGINES[engine])
    assert told.exit_code == 2
    assert "stage 'letters': device: no device is called so" in told.stderr
    for device in ("cuda:99", "mps", "xpu"):  # nowhere
        mortal(transcripts, device)
        told = smp_extract(transcripts, *ENGINES[engine])
        assert told.exit_code == 2
        last = told.stderr.splitlines()[-1]
        assert last.startswith(f"Error: stage 'letters': device '{device}' can't be used on ")
        assert "set `device` to auto or cpu" in last
        assert "Traceback (most" not in told.output
        assert commits(transcripts) == []
    mortal(transcripts, "auto")
    assert smp_extract(transcripts, *ENGINES[engine]).exit_code == 0
    assert open_cache(transcripts.cache_url)["letters"].states.tolist() == ["ok"] * 6


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {"weights": "own/net"}) for name in sorted(WEIGHED)),
        ("action_units", {"backend": "xgb", "weights": "random", "landmark_weights": "own/net"}),
        ("action_units", {"backend": "openface", "binary": "own/net"}),
    ],
)
def test_weights_that_are_nowhere_end_a_run_before_it_begins(
    transcripts: Transcripts,
    name: str,
    settings: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    transcripts.texts(TEXTS)
    spec = yaml.safe_load(DEFAULT_FILE.read_text())
    for other in WEIGHED:
        spec["stages"][other] |= {"weights": "random", "enabled": True}
    spec["stages"][name] = {"needs": spec["stages"][name]["needs"], **settings}
    transcripts.stages_file.write_text(yaml.safe_dump(spec))
    told = smp_extract(transcripts, "--serial")
    assert told.exit_code == 2, told.output
    assert told.stderr.startswith(f"Error: stage {name!r}: ")
    assert "own/net" in told.stderr
    assert told.stderr.count("\n") == 1
    assert not Path(transcripts.cache_url, name).exists()


def test_a_device_is_tried_only_for_what_would_run(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    mortal(transcripts, "cpu")
    assert smp_extract(transcripts, "--serial").exit_code == 0
    mortal(transcripts, "cuda:99")
    assert smp_extract(transcripts, "--serial").exit_code == 0, "there is nothing to do"


def test_a_device_that_is_there_but_broken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution\nCompile …")

    require("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", broken)
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    require.cache_clear()
    said = r"^device 'cuda' can't be used on .+: CUDA error: no kernel image .+ execution; set"
    with pytest.raises(UserError, match=said):
        require("auto")
    found = doctor.gpu()
    assert (found.state, "no kernel image" in found.found) == (doctor.PROBLEM, True)


# ---- what every clip shares


@pytest.mark.parametrize(
    ("lacks", "told"),
    [
        (
            "code",
            "all 4 clips fail for the same reason (KeyError: 'nothing in /data/v/0000.bin of 6",
        ),
        ("library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("device", "RuntimeError: CUDA error: unspecified launch failure"),
        ("disk", "[Errno 5] Input/output error: '/data/v/0000.bin'"),
        ("weights", "its model can't be loaded: ValueError: 'conv' is not in list"),
    ],
)
def test_what_is_no_clips_fault_commits_nothing_and_runs_once_it_is_mended(
    transcripts: Transcripts, lacks: str, told: str
) -> None:
    transcripts.texts(TEXTS)
    letters(transcripts, lacks=lacks)
    done = smp_extract(transcripts, "--serial")
    assert done.exit_code == 1
    assert told in done.stderr
    is_over = lacks == "device"  # which this process can't get back
    assert ("Stopped: 3 partitions left" in done.stderr) == is_over
    assert ("letters, partitions 0, 1: " in done.stderr) != is_over
    failed = "1 partition" if is_over else "4 partitions"
    assert f"{failed} failed; fix the cause and run again." in done.stderr
    assert "Traceback (most" not in done.output
    assert commits(transcripts) == []
    assert bool(logged(transcripts)) == (lacks != "disk")
    assert all("in _lack" in trace or "load_once" in trace for trace in logged(transcripts))
    letters(transcripts)
    assert smp_extract(transcripts, "--serial").exit_code == 0
    assert open_cache(transcripts.cache_url)["letters"].states.tolist() == ["ok"] * 6


@pytest.mark.parametrize("engine", [run_serially, DaskEngine()], ids=["serial", "threads"])
def test_what_some_clips_raise_costs_these_alone_and_its_traceback_is_kept(
    transcripts: Transcripts, engine: Engine
) -> None:
    transcripts.texts(["one", "!raise", "three", "four"])
    done = transcripts.extract(engine)
    assert not [o.error for o in done.outcomes if o.error]
    found = open_cache(transcripts.cache_url)["letters"]
    assert found.states.tolist() == ["ok", "failed", "ok", "ok"]
    assert found.reasons[1] == "ValueError: a bug"
    assert len(logged(transcripts)) == 1
    assert "ValueError: a bug" in logged(transcripts)[0]


def test_clips_with_troubles_of_their_own_fail_even_if_that_is_all_of_them(
    transcripts: Transcripts,
) -> None:
    transcripts.texts(["!raise", "!nan", "!raise", "!fail"])
    assert not [o.error for o in transcripts.extract().outcomes if o.error]
    assert open_cache(transcripts.cache_url)["letters"].states.tolist() == ["failed"] * 4


def test_a_reason_that_names_a_clip_is_the_clips_also_where_all_have_it(
    transcripts: Transcripts,
) -> None:
    transcripts.texts(TEXTS)
    letters(transcripts, lacks="clip")
    told = smp_extract(transcripts, "--serial")
    assert told.exit_code == 1
    found = open_cache(transcripts.cache_url)["letters"]
    assert found.states.tolist() == ["failed"] * 6
    assert found.reasons[0] == "v/0000 is truncated"
    assert "6 clips failed; to try again: smp " in told.stderr, "not once for each stage"
    letters(transcripts)
    told = smp_extract(transcripts, "--serial")
    assert "all committed, but some failed" in told.stdout
    assert "6 clips failed; to try again: smp " in told.stderr
    assert smp_extract(transcripts, "--serial", "--retry").exit_code == 0


def test_a_clip_that_is_alone_in_its_partition_bears_what_it_raises(
    transcripts: Transcripts,
) -> None:
    transcripts.texts(["one", "two", "three", "four", "!raise"])
    assert not [o.error for o in transcripts.extract().outcomes if o.error]
    assert open_cache(transcripts.cache_url)["letters"].states.tolist() == ["ok"] * 4 + ["failed"]


def test_not_a_number_in_every_clip_is_the_stages(transcripts: Transcripts) -> None:
    transcripts.texts(["!nan"] * 4)
    (error,) = [o.error for o in transcripts.extract().outcomes if o.stage == "letters"]
    assert "all 4 clips fail for the same reason ('features' holds NaN or infinite values)" in error
    assert commits(transcripts) == []


@pytest.mark.parametrize(
    ("error", "broken"),
    [
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (RuntimeError("CUDA driver error: unknown error"), True),
        (RuntimeError("HIP error: invalid argument"), True),
        (RuntimeError("Found no NVIDIA driver on your system."), True),
        (AssertionError("Torch not compiled with CUDA enabled"), True),
        (RuntimeError("No CUDA GPUs are available"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (3x5 and 7x2)"), False),
        (ValueError("CUDA error: said by no device"), False),
        (AssertionError(), False),
    ],
)
def test_a_broken_device_is_told_from_a_bad_input(error: Exception, broken: bool) -> None:
    assert is_broken(error) == broken
