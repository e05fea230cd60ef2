"""Several tasks share an accelerator: one computes there while the others decode."""

import json
from collections.abc import Callable
from itertools import combinations

import pytest
from click.testing import CliRunner

from benchmarks import feeding_stage
from benchmarks.feeding_stage import CORE, Note
from model.cli.group import main
from pipeline.runner.dask_engine import DaskEngine
from pipeline.runner.dask_engine.engine import TASK_BYTES, tasks_a_gpu
from pipeline.system import resources
from tests.conftest import Transcripts

ROOM = "pipeline.runner.dask_engine"
PARTITION, PARTITIONS = 4, 6
Run = Callable[..., list[Note]]


@pytest.fixture
def run(transcripts: Transcripts, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a stage that sleeps, on so many devices: what cores and devices were at, and when."""

    def go(devices: list[str], **settings: object) -> list[Note]:
        monkeypatch.setattr(resources, "cores", lambda: 8)
        monkeypatch.setattr(f"{ROOM}.cluster._accelerators", lambda: devices)
        monkeypatch.setattr("pipeline.system.turns.meant", lambda setting: devices)
        transcripts.texts(["a text"] * PARTITION * PARTITIONS)
        stage = {"extractor": feeding_stage.__name__, **settings}
        spec = {"partition": PARTITION, "stages": {"fed": stage}}
        transcripts.stages_file.write_text(json.dumps(spec))
        feeding_stage.notes.clear()
        done = transcripts.extract(DaskEngine())
        assert [o.error for o in done.outcomes] == [""] * PARTITIONS
        return [*feeding_stage.notes]

    return go


def at_once(one: Note, other: Note) -> bool:
    return one.begin_s < other.end_s and other.begin_s < one.end_s


def of(notes: list[Note], what: str) -> list[Note]:
    return [note for note in notes if note.what == what]


def test_tasks_decode_while_another_computes_and_no_two_compute_on_a_device(run: Run) -> None:
    notes = run(["cuda"], rounds=2, before_s=0.02, network_s=0.02, after_s=0.001)
    computing, decoding = of(notes, "cuda"), of(notes, CORE)
    assert len(computing) == 2 * PARTITIONS
    assert not any(at_once(*pair) for pair in combinations(computing, 2))
    assert any(at_once(one, other) for one in computing for other in decoding)


def test_a_second_device_has_tasks_of_its_own(run: Run) -> None:
    notes = run(["cuda:0", "cuda:1"], rounds=2, before_s=0.001, network_s=0.02)
    first, second = of(notes, "cuda:0"), of(notes, "cuda:1")
    assert len(first) + len(second) == 2 * PARTITIONS
    for one in (first, second):
        assert not any(at_once(*pair) for pair in combinations(one, 2))
    assert any(at_once(one, other) for one in first for other in second)


def test_as_many_tasks_share_a_device_as_memory_is_free_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for room, gpus, tasks in ((0.5, 1, 1), (3, 1, 2), (5, 1, 4), (5, 2, 2), (99, 4, 8)):
        monkeypatch.setattr(resources, "free_bytes", lambda room=room: room * TASK_BYTES)
        assert tasks_a_gpu(gpus) == tasks


@pytest.mark.parametrize("how", [["--serial"], []], ids=["serial", "threads"])
def test_the_device_is_told_where_it_is_no_processor(
    transcripts: Transcripts, monkeypatch: pytest.MonkeyPatch, how: list[str]
) -> None:
    stages = {"fed": {"extractor": feeding_stage.__name__}}
    transcripts.stages_file.write_text(json.dumps({"stages": stages}))
    transcripts.texts(["a text"])
    where = ["--stages", str(transcripts.stages_file), "--cache", transcripts.cache_root]
    command = ["extract", str(transcripts.folder), *where, *how]
    monkeypatch.setattr("pipeline.system.device.described", lambda setting: "cuda (NVIDIA H200)")
    assert "device: cuda (NVIDIA H200)\n" in CliRunner().invoke(main, command).stderr
