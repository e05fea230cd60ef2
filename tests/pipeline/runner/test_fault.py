"""A device, a disk or memory that fails in mid-run: no clip's fault, but for the one it follows."""

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from model.cli.group import main
from pipeline import open_cache
from pipeline.errors import ClipError, StageError
from pipeline.runner.fault import Fault
from tests.conftest import Transcripts
from tests.support.crashing import differences, files_of
from tests.support.toys import accelerated

TEXTS = [f"text number {i}" for i in range(16)]
DEVICE, DISK = Fault(device=True), Fault()


class AcceleratorError(RuntimeError):
    """As torch's own, by its name."""


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (RuntimeError(accelerated.ILLEGAL), DEVICE),
        (AcceleratorError("device-side assert triggered"), DEVICE),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), DEVICE),
        (RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"), DEVICE),
        (RuntimeError("CUDA driver error: unknown error"), DEVICE),
        (RuntimeError("no CUDA-capable device is detected"), DEVICE),
        (RuntimeError("GET was unable to find an engine to execute this computation"), DEVICE),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), Fault()),
        (MemoryError(), Fault()),
        (OSError(errno.ESTALE, "Stale file handle"), Fault()),
        (OSError(errno.ENOSPC, "No space left on device"), Fault(no_place=True)),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), Fault()),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), None),
        (ValueError("a bug"), None),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (3x5 and 7x2)"), None),
        (ClipError("no face"), None),
    ],
)
def test_what_is_the_machines_is_told_from_what_is_a_clips(
    error: Exception, fault: Fault | None
) -> None:
    assert Fault.behind(error) == fault
    for wrapped in (ClipError("can't be decoded"), StageError("its model can't be loaded")):
        wrapped.__cause__ = error
        assert Fault.behind(wrapped) == fault


def smp_extract(transcripts: Transcripts, *options: str) -> Result:
    stages = ["--stages", str(transcripts.stages_file), "--cache", transcripts.cache_root]
    return CliRunner().invoke(main, ["extract", str(transcripts.folder), *stages, *options])


@pytest.fixture
def on_a_device(transcripts: Transcripts) -> Iterator[Transcripts]:
    transcripts.stages(letters={"extractor": "tests.support.toys.accelerated"})
    yield transcripts
    accelerated.broken.clear()


def whole(transcripts: Transcripts) -> dict[str, bytes]:
    """The files of a run that nothing disturbs."""
    root = str(transcripts.folder.parent / "whole")
    assert not any(outcome.error for outcome in transcripts.extract(cache_root=root).outcomes)
    return files_of(f"{root}/talks")


@pytest.mark.parametrize("options", [["--serial"], []], ids=["serial", "threads"])
def test_a_broken_device_ends_a_run_in_one_process_and_a_resume_completes(
    on_a_device: Transcripts, options: Sequence[str], tmp_path: Path
) -> None:
    on_a_device.texts([*TEXTS[:5], f"!once {tmp_path / 'broke'}", *TEXTS[6:]])
    told = smp_extract(on_a_device, *options)
    assert told.exit_code == 1
    assert "RuntimeError: CUDA error: an illegal memory access was encountered" in told.stderr
    assert "no clip is marked failed" in told.stderr
    assert "Stopped: " in told.stderr
    assert "clips failed" not in told.output
    accelerated.broken.clear()  # as in another process
    assert smp_extract(on_a_device, *options).exit_code == 0
    assert differences(files_of(on_a_device.cache_url), whole(on_a_device)) == []


@pytest.mark.slow
def test_what_follows_a_clip_to_a_fresh_process_is_the_clips_and_nothing_else(
    on_a_device: Transcripts, tmp_path: Path
) -> None:
    odd = {1: f"!once {tmp_path / 'broke'}", 6: "!breaks", 9: "!disk"}
    on_a_device.texts([odd.get(i, text) for i, text in enumerate(TEXTS)])
    told = smp_extract(on_a_device, "--workers", "1")
    assert told.exit_code == 1
    assert (tmp_path / "broke").exists()
    assert "2 clips failed; to try again: smp" in told.stderr, told.output
    assert "partitions failed" not in told.stderr
    found = open_cache(on_a_device.cache_url)["letters"]
    assert [i for i, state in enumerate(found.states) if state != "ok"] == [6, 9]
    twice = " (twice, the second time in a fresh process)"
    assert found.reasons[6].startswith("RuntimeError: CUDA error: an illegal memory access")
    assert found.reasons[6].endswith(twice)
    assert found.reasons[9] == f"[Errno 5] Input/output error: '/data/a.mp4'{twice}"


@pytest.mark.slow
def test_a_device_that_fails_in_fresh_processes_too_ends_the_run_and_sticks_to_no_clip(
    on_a_device: Transcripts,
) -> None:
    on_a_device.texts(["!breaks"] * 16)
    told = smp_extract(on_a_device, "--workers", "1")
    assert told.exit_code == 1
    assert "Stopped: " in told.stderr, told.output
    assert "clips failed" not in told.output
    assert not list(Path(on_a_device.cache_url).glob("*/*.zarr/commits/[0-9]*.json"))
