"""Full and read-only disks, too little memory, signals: a clear word, a resume that completes."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from model.cli.group import main
from pipeline import open_cache
from pipeline.store.verify import verify
from tests.conftest import Transcripts
from tests.support.crashing import differences, files_of, gone, start, workers_of

TEXTS = [f"text number {i}" for i in range(16)]
LONG = [chr(97 + i) * 40_000 for i in range(24)]


def smp(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def arguments(transcripts: Transcripts, *options: str) -> list[str]:
    stages = ["--stages", str(transcripts.stages_file), "--cache", transcripts.cache_root]
    return ["extract", str(transcripts.folder), *stages, *options]


def whole(transcripts: Transcripts) -> dict[str, bytes]:
    """The files of a run that nothing disturbs."""
    root = str(transcripts.folder.parent / "whole")
    assert not any(outcome.error for outcome in transcripts.extract(cache_root=root).outcomes)
    return files_of(f"{root}/talks")


# ---- the disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts, and mounts again with other options, a disk in memory."""
    place = tmp_path / "disk"
    place.mkdir()

    def mounted(options: str) -> Path:
        again = ["-o", f"remount,{options}"] if place.is_mount() else ["-o", options]
        done = subprocess.run(["mount", "-t", "tmpfs", *again, "tmpfs", str(place)])
        if done.returncode:
            pytest.skip("only root can mount a disk")
        return place

    if os.geteuid():
        pytest.skip("only root can mount a disk")
    yield mounted
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_ends_the_run_with_a_clear_word_and_a_resume_completes(
    transcripts: Transcripts, disk: Callable[[str], Path]
) -> None:
    transcripts.texts([os.urandom(6000).hex() for _ in range(24)])
    transcripts.cache_root = str(disk("size=600k"))
    told = smp(*arguments(transcripts, "--serial"))
    assert told.exit_code == 1
    assert "No space left on device" in told.output
    assert "Stopped: " in told.output  # what follows would be computed in vain
    disk("size=50m")
    told = smp(*arguments(transcripts, "--serial"))
    assert told.exit_code == 0, told.output
    assert differences(files_of(transcripts.cache_url), whole(transcripts)) == []


def test_a_disk_too_full_for_the_clips_table_is_named(
    transcripts: Transcripts, disk: Callable[[str], Path]
) -> None:
    transcripts.texts(LONG)
    transcripts.cache_root = str(disk("size=100k"))
    told = smp(*arguments(transcripts, "--serial"))
    assert told.exit_code == 1
    assert "No space left on device" in told.output
    assert "Traceback" not in told.output
    disk("size=50m")
    assert smp(*arguments(transcripts, "--serial")).exit_code == 0
    assert verify(transcripts.cache_url).faults == ()


def test_a_read_only_cache_is_refused_for_writing_and_read_as_ever(
    transcripts: Transcripts, disk: Callable[[str], Path]
) -> None:
    transcripts.texts(TEXTS)
    transcripts.cache_root = str(disk("size=50m"))
    assert smp(*arguments(transcripts, "--serial")).exit_code == 0
    disk("ro")
    transcripts.texts([*TEXTS, "more"])
    told = smp(*arguments(transcripts, "--serial"))
    assert told.exit_code == 1
    assert "Read-only file system" in told.output
    assert transcripts.cache_url in told.output
    assert smp("status", transcripts.cache_url).exit_code == 0
    assert smp("verify", transcripts.cache_url).exit_code == 0
    assert smp("verify", transcripts.cache_url, "--repair").exit_code == 1
    assert open_cache(transcripts.cache_url)["letters"].read().shape == (16, 32, 2)
    disk("rw")
    assert smp(*arguments(transcripts, "--serial")).exit_code == 0
    assert open_cache(transcripts.cache_url)["letters"].read().shape == (17, 32, 2)


def test_a_run_folder_that_cant_be_written_is_named_before_anything_is_trained(
    tmp_path: Path, disk: Callable[[str], Path]
) -> None:
    disk("size=1m")
    place = disk("ro")
    for runs, what in ((place / "runs", "Read-only file system"), (tmp_path / "file", "exists")):
        (tmp_path / "file").touch()
        told = smp("train", "nothing", "--runs", str(runs))
        assert told.exit_code == 1
        assert f"{runs}" in told.output
        assert what in told.output


# ---- memory


def test_a_batch_that_does_not_fit_is_halved_until_it_does(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    expected = whole(transcripts)
    transcripts.called()
    letters = {
        "extractor": "tests.support.toys.letters",
        "calls": str(transcripts.calls),
        "fits": 1,
    }
    transcripts.stages(letters=letters)
    done = transcripts.extract()
    assert not any(outcome.error for outcome in done.outcomes)
    assert [len(call) for call in transcripts.called()][:7] == [4, 2, 1, 1, 2, 1, 1]
    assert files_of(transcripts.cache_url) == expected


def test_an_accelerator_out_of_memory_is_given_smaller_batches(transcripts: Transcripts) -> None:
    transcripts.texts(["a", "b", "!cuda", "d"])
    assert not any(outcome.error for outcome in transcripts.extract().outcomes)
    cache = open_cache(transcripts.cache_url)
    assert cache["letters"].states.tolist() == ["ok"] * 4
    transcripts.called()


def test_a_clip_that_does_not_fit_leaves_no_commit_and_a_resume_completes(
    transcripts: Transcripts,
) -> None:
    transcripts.texts(["a", "b", "c", "d", "e", "!memory", "g"])
    told = smp(*arguments(transcripts, "--serial"))
    assert told.exit_code == 1
    assert "letters, partition 1: out of memory with one clip, 'v/0005'" in told.output
    transcripts.texts(["a", "b", "c", "d", "e", "f", "g"])
    assert smp(*arguments(transcripts, "--serial")).exit_code == 0
    assert open_cache(transcripts.cache_url)["letters"].states.tolist() == ["ok"] * 7


# ---- signals

ENGINES = {"serial": ["--serial"], "threads": [], "processes": ["--workers", "2"]}
SLOW = {"extractor": "tests.support.toys.letters", "pause_s": 1.0}


@pytest.fixture
def stopped(transcripts: Transcripts) -> Transcripts:
    transcripts.texts(TEXTS)
    transcripts.stages(letters={**SLOW, "calls": str(transcripts.calls)})
    return transcripts


def begun(transcripts: Transcripts, process: subprocess.Popen[str]) -> None:
    """Wait until the first partition is in flight."""
    while not transcripts.calls.exists():
        assert process.poll() is None
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "number"), [
    ("serial", signal.SIGTERM), ("threads", signal.SIGINT), ("processes", signal.SIGINT),
    ("processes", signal.SIGTERM),
])  # fmt: skip
def test_a_signal_ends_a_run_after_the_partitions_in_flight(
    stopped: Transcripts, engine: str, number: signal.Signals
) -> None:
    words = arguments(stopped, *ENGINES[engine])
    process = start(words)
    begun(stopped, process)
    workers = workers_of(process.pid)
    os.killpg(process.pid, number)  # as a terminal or a service manager does it: to every process
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + number, said
    assert "Stopping when the running partitions are done" in said
    assert f"to continue: smp extract {stopped.folder}" in said
    assert "Traceback" not in said
    assert gone(workers, within_s=30)
    calls = stopped.called()
    commits = list(Path(stopped.cache_url, "letters").glob("*.zarr/commits/0*.json"))
    assert len(calls) == len(commits) > 0  # what was begun was finished
    stopped.stages(letters={"extractor": "tests.support.toys.letters"})
    stopped.extract()
    assert differences(files_of(stopped.cache_url), whole(stopped)) == []


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_a_second_signal_ends_a_run_at_once(transcripts: Transcripts, engine: str) -> None:
    transcripts.texts(TEXTS)
    slow = {**SLOW, "pause_s": 600, "calls": str(transcripts.calls)}
    transcripts.stages(letters=slow)
    process = start(arguments(transcripts, *ENGINES[engine]))
    begun(transcripts, process)
    workers = workers_of(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert gone(workers, within_s=30)
    transcripts.stages(letters={"extractor": "tests.support.toys.letters"})
    transcripts.extract()
    assert differences(files_of(transcripts.cache_url), whole(transcripts)) == []
