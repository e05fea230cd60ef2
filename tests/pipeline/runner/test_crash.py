"""Runs that are killed with SIGKILL: what is resumed is what was never interrupted, to the byte."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.dag.task import Task
from pipeline.runner.serial import run_serially
from pipeline.runner.stop import Stop
from pipeline.runner.types import Outcome
from tests.conftest import Transcripts
from tests.support.crashing import Kill, differences, files_of, gone, start, until_done, workers_of

TEXTS = [f"text number {i}" for i in range(10)]
CHANGED = [*TEXTS[:3], "changed", *TEXTS[4:], *(f"more {i}" for i in range(5))]
KILLS = {  # of a first run, and perhaps of one with a changed clip and more of them
    "threads": (
        [
            Kill("mid-rename of the clips table"),
            Kill("mid-rename of zarr's metadata", nth=3),
            Kill("half a chunk", nth=2),
            Kill("between data and commit"),
        ],
        [
            Kill("between metadata and its commit"),
            Kill("after the old commit went"),
            Kill("old values half removed"),
            Kill("mid-rename of a commit"),
        ],
    ),
    "processes": (
        [
            Kill("before data"),
            Kill("mid-rename of a chunk", nth=2),
            Kill("between data and commit"),
            Kill("half a chunk", worker_only=True),
        ],
    ),
}


def command(transcripts: Transcripts, cache: Path, workers: int | None) -> list[str]:
    stages = ["--stages", str(transcripts.stages_file)]
    processes = ["--workers", str(workers)] if workers else []
    return ["extract", str(transcripts.folder), *stages, "--cache", str(cache), *processes]


@pytest.mark.slow
@pytest.mark.parametrize("mode", KILLS)
def test_a_run_killed_again_and_again_ends_in_the_bytes_of_one_that_was_not(
    transcripts: Transcripts, tmp_path: Path, mode: str
) -> None:
    whole, broken, token = tmp_path / "whole", tmp_path / "broken", tmp_path / "token"
    arguments = command(transcripts, broken, 2 if mode == "processes" else None)
    for texts, kills in zip((TEXTS, CHANGED), KILLS[mode], strict=False):
        transcripts.texts(texts)
        assert until_done(arguments, kills, token) == kills
        transcripts.extract(cache_root=str(whole))
        assert differences(files_of(f"{whole}/talks"), files_of(f"{broken}/talks")) == []


@pytest.mark.slow
def test_worker_processes_do_not_outlive_a_killed_run(
    transcripts: Transcripts, tmp_path: Path
) -> None:
    transcripts.texts(TEXTS)
    transcripts.stages(letters={"extractor": "tests.support.toys.letters", "pause_s": 60})
    process = start(command(transcripts, tmp_path / "cache", 2))
    while len(workers := workers_of(process.pid)) < 2:
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=30)
    assert gone(workers, within_s=30)


def test_what_a_dead_process_left_is_gone_after_the_next_run(
    transcripts: Transcripts, tmp_path: Path
) -> None:
    transcripts.texts(TEXTS)
    transcripts.extract()
    before = files_of(transcripts.cache_url)
    store = Path(transcripts.cache_url, next(n for n in before if n.endswith("commits/00000.json")))
    left = store.with_name("00000.json.0123456789abcdef0123456789abcdef.partial")
    left.write_bytes(b"half")
    mine = Path(transcripts.cache_url, "notes.partial")
    mine.write_text("a user's own")
    log = Path(transcripts.cache_url, "log.jsonl")
    whole_lines = log.read_text().count("\n")
    log.write_bytes(log.read_bytes() + b'{"time": "20')
    store.unlink()
    assert len(transcripts.extract().outcomes) == 1
    mine.unlink()
    assert files_of(transcripts.cache_url) == before
    assert len(log.read_text().splitlines()) == whole_lines + 2  # the torn one is no other's


def test_data_and_all_folders_above_are_on_disk_before_their_commit(
    transcripts: Transcripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, str]] = []
    fsync, replace, unlink = os.fsync, os.replace, os.unlink

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        events.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))

    def noted_replace(source: str, target: str) -> None:
        replace(source, target)
        events.append(("change", str(target)))

    def noted_unlink(path: str, **options: Any) -> None:
        unlink(path, **options)
        events.append(("remove", str(path)))

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    monkeypatch.setattr(os, "unlink", noted_unlink)
    for texts in (["one", "two"], ["one", "other"]):
        transcripts.texts(texts)
        transcripts.extract()
    for number, (what, path) in enumerate(events):
        if what != "change" or "/commits/0" not in path:
            continue
        store = path.partition("/commits/")[0]
        earlier = events[:number]
        for written in {p for w, p in earlier if w == "change" and p.startswith(f"{store}/")}:
            last = max(i for i, event in enumerate(earlier) if event == ("change", written))
            synced = {p for w, p in earlier[last:] if w == "sync"}
            parents = {str(p) for p in Path(written).parents if p.is_relative_to(store)}
            if "commits" not in written:
                assert {written, *parents} <= synced
        assert ("sync", str(Path(store).parent)) in earlier
    removed = [
        i for i, (what, path) in enumerate(events) if what == "remove" and "/commits/0" in path
    ]
    assert len(removed) == 2  # of the changed clip's partition, in either stage
    for number in removed:  # the old commit is gone for good before new data comes
        assert events[number + 1] == ("sync", str(Path(events[number][1]).parent))


def test_what_a_worker_left_that_died_is_gone_when_the_run_ends(transcripts: Transcripts) -> None:
    left = Path(transcripts.cache_url, "0.0123456789abcdef0123456789abcdef.partial")

    def run(tasks: Sequence[Task], stop: Stop) -> Iterator[Outcome]:
        left.write_bytes(b"half")
        yield from run_serially(tasks, stop)

    transcripts.texts(TEXTS)
    assert transcripts.extract(run).outcomes
    assert not left.exists()
