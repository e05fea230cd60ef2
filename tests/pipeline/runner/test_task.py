"""The runner: what runs, what does not, and what one bad clip costs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster

from pipeline import open_cache
from pipeline.errors import UserError
from pipeline.io import lock
from pipeline.io.folder import Folder
from pipeline.runner.dask_engine import DaskEngine
from pipeline.runner.serial import run_serially
from pipeline.runner.types import Engine
from pipeline.weights.random_weights import RANDOM
from pipeline.weights.resolve import Weights
from tests.conftest import Transcripts

TEXTS = ["hello", "world", "", "a rather longer text that has more than thirty-two letters", "x"]
Bytes = Callable[[str], dict[str, bytes]]
THREADS = """
import json, sys
import cv2, numpy, torch
from threadpoolctl import threadpool_info
from pipeline.runner.extract import extract
from pipeline.runner.serial import run_serially

folder, stages_file, cache_root = sys.argv[1:]
extract(folder, stages_file, run_serially, cache_root=cache_root)
blas = max(x["num_threads"] for x in threadpool_info() if x["user_api"] == "blas")
print(json.dumps([blas, torch.get_num_threads(), cv2.getNumThreads()]))
"""


def ran(transcripts: Transcripts, engine: Engine = run_serially) -> set[tuple[str, int]]:
    return {(o.stage, o.partition) for o in transcripts.extract(engine).outcomes}


def test_features_come_back_in_clip_order_with_padding_zero(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    transcripts.extract()
    cache = open_cache(transcripts.cache_url)
    letters = cache["letters"].read()
    assert letters.shape == (5, 32, 2)
    assert letters.dtype == np.float32
    assert cache["letters"].lengths.tolist() == [5, 5, 0, 32, 1]
    assert letters[0, :5, 0].tolist() == [ord(c) for c in "hello"]
    assert not letters[0, 5:].any()
    assert not letters[2].any()
    np.testing.assert_array_equal(cache["doubled"].read(), 2 * letters)
    assert cache["doubled"].read("total").tolist() == [sum(map(ord, text)) for text in TEXTS]
    assert cache["letters"].states.tolist() == ["ok", "ok", "missing", "ok", "ok"]
    assert list(cache.clips["id"]) == [f"v/{i:04d}" for i in range(5)]


def test_a_dataset_may_be_a_manifest(transcripts: Transcripts) -> None:
    manifest = transcripts.stages_file.with_name("talks.csv")
    manifest.write_text("id,text,label,split\na,hello,0.5,train\n")
    transcripts.folder = manifest
    assert len(transcripts.extract().outcomes) == 2
    assert open_cache(transcripts.cache_url)["letters"].lengths.tolist() == [5]


def test_a_second_run_does_nothing(transcripts: Transcripts, stored_bytes: Bytes) -> None:
    transcripts.texts(TEXTS)
    assert len(ran(transcripts)) == 4
    before = stored_bytes(transcripts.cache_url)
    transcripts.called()
    assert ran(transcripts) == set()
    assert transcripts.called() == []
    assert stored_bytes(transcripts.cache_url) == before


@pytest.mark.parametrize(
    "engine",
    [DaskEngine(), pytest.param(DaskEngine(workers=2), marks=pytest.mark.slow)],
    ids=["threads", "processes"],
)
def test_dask_and_the_plain_loop_write_the_same_bytes(
    transcripts: Transcripts, stored_bytes: Bytes, engine: Engine
) -> None:
    transcripts.texts([f"text number {i}" for i in range(30)] + ["", "!fail", "!raise"])
    transcripts.extract(cache_root=transcripts.cache_root + "-serial")
    done = transcripts.extract(engine)
    assert len(done.outcomes) == 18
    serial = stored_bytes(transcripts.cache_root + "-serial/talks")
    assert stored_bytes(transcripts.cache_url) == serial
    assert any("commits" in name for name in serial)


def test_a_task_computes_on_one_thread(transcripts: Transcripts) -> None:
    transcripts.texts(["hello"])
    arguments = transcripts.folder, transcripts.stages_file, transcripts.cache_root
    threads = subprocess.check_output(
        [sys.executable, "-c", THREADS, *arguments], env=os.environ | {"OMP_NUM_THREADS": "2"}
    )
    assert json.loads(threads) == [1, 1, 1]


@pytest.mark.slow
def test_a_cluster_that_runs_already_writes_the_same_bytes(
    transcripts: Transcripts, stored_bytes: Bytes
) -> None:
    transcripts.texts([f"text number {i}" for i in range(9)])
    transcripts.extract(cache_root=transcripts.cache_root + "-serial")
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        transcripts.extract(DaskEngine(scheduler=cluster.scheduler_address))
    assert stored_bytes(transcripts.cache_url) == stored_bytes(
        transcripts.cache_root + "-serial/talks"
    )


def test_a_cluster_that_does_not_answer_is_named(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    with pytest.raises(UserError, match="no dask scheduler answers at 'nonsense://1'"):
        transcripts.extract(DaskEngine(scheduler="nonsense://1"))


def test_a_partition_without_a_commit_runs_again_and_no_other(
    transcripts: Transcripts, stored_bytes: Bytes
) -> None:
    transcripts.texts([f"text {i}" for i in range(12)])
    ran(transcripts)
    before = stored_bytes(transcripts.cache_url)
    lost = next(
        name for name in before if name.endswith("commits/00001.json") and "letters" in name
    )
    (Path(transcripts.cache_url) / lost).unlink()
    assert ran(transcripts) == {("letters", 1)}
    assert stored_bytes(transcripts.cache_url) == before


def test_a_changed_setting_runs_its_stage_and_what_follows_and_going_back_is_free(
    transcripts: Transcripts,
) -> None:
    transcripts.texts(TEXTS)
    first = ran(transcripts)
    transcripts.stages(letters={"extractor": "tests.support.toys.letters", "scale": 3})
    assert ran(transcripts) == first
    assert open_cache(transcripts.cache_url)["letters"].read()[0, 0, 0] == 3 * ord("h")
    transcripts.stages(letters={"extractor": "tests.support.toys.letters", "scale": "1"})
    assert ran(transcripts) == set()
    assert open_cache(transcripts.cache_url)["letters"].read()[0, 0, 0] == ord("h")


def test_clips_added_later_leave_the_earlier_ones_alone(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    ran(transcripts)
    transcripts.called()
    transcripts.texts([*TEXTS, "new one", "new two", "new three", "new four"])
    assert ran(transcripts) == {(s, p) for s in ("letters", "doubled") for p in (1, 2)}
    assert transcripts.called() == [["v/0005", "v/0006", "v/0007"], ["v/0008"]]
    letters = open_cache(transcripts.cache_url)["letters"]
    assert letters.lengths.tolist() == [5, 5, 0, 32, 1, 7, 7, 9, 8]
    assert letters.read()[4, 0, 0] == ord("x")


def test_a_changed_clip_costs_itself_alone(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    ran(transcripts)
    transcripts.called()
    transcripts.texts([*TEXTS[:1], "changed", *TEXTS[2:]])
    assert ran(transcripts) == {("letters", 0), ("doubled", 0)}
    assert transcripts.called() == [["v/0001"]]
    assert open_cache(transcripts.cache_url)["doubled"].read()[1, 0, 0] == 2 * ord("c")


def test_a_removed_clip_moves_no_other_and_may_come_back(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    ran(transcripts)
    transcripts.texts(TEXTS, skip=[1])
    assert ran(transcripts) == set()
    cache = open_cache(transcripts.cache_url)
    assert list(cache.clips["id"]) == ["v/0000", "v/0002", "v/0003", "v/0004"]
    assert cache["letters"].lengths.tolist() == [5, 0, 32, 1]
    assert cache["letters"].read()[3, 0, 0] == ord("x")
    transcripts.texts(TEXTS)
    assert ran(transcripts) == set()
    assert len(open_cache(transcripts.cache_url).clips) == 5


def test_one_bad_clip_costs_one_clip(transcripts: Transcripts) -> None:
    transcripts.texts(["good", "!raise", "fine", "!fail", "!nan"])
    transcripts.extract()
    letters = open_cache(transcripts.cache_url)["letters"]
    assert letters.states.tolist() == ["ok", "failed", "ok", "failed", "failed"]
    assert letters.reasons[1] == "ValueError: a bug"
    assert letters.reasons[3] == "a reason"
    assert "NaN" in letters.reasons[4]
    doubled = open_cache(transcripts.cache_url)["doubled"]
    assert doubled.states.tolist() == ["ok", "failed", "ok", "failed", "failed"]
    assert doubled.reasons[3] == "letters: a reason"


def test_what_is_no_clips_fault_leaves_no_commit_and_spares_the_other_partitions(
    transcripts: Transcripts,
) -> None:
    transcripts.texts(["a", "b", "c", "d", "e", "!user"])
    done = transcripts.extract()
    errors = {(o.stage, o.partition): o.error for o in done.outcomes if o.error}
    assert set(errors) == {("letters", 1), ("doubled", 1)}
    assert "mend this" in errors["letters", 1]
    with pytest.raises(UserError, match=r"'letters'.*not extracted"):
        open_cache(transcripts.cache_url)["letters"].read()
    transcripts.texts(["a", "b", "c", "d", "e", "mended"])
    assert ran(transcripts) == {("letters", 1), ("doubled", 1)}


def test_a_stage_asked_for_alone_brings_what_it_needs(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    done = transcripts.extract(only=["letters"])
    assert {o.stage for o in done.outcomes} == {"letters"}
    done = transcripts.extract(only=["doubled"])
    assert {o.stage for o in done.outcomes} == {"doubled"}
    with pytest.raises(UserError, match="did you mean 'letters'"):
        transcripts.extract(only=["lettres"])


def test_another_dataset_under_the_same_name_is_refused(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    transcripts.extract()
    transcripts.texts(["other"] * 9, skip=range(5))
    with pytest.raises(UserError, match="--name"):
        transcripts.extract()


def test_a_second_run_at_the_same_time_is_refused_with_who_holds_the_cache(
    transcripts: Transcripts,
) -> None:
    transcripts.texts(TEXTS)
    with (
        lock.held(Folder(transcripts.cache_url)),
        pytest.raises(UserError, match=r"in use by process \d+"),
    ):
        transcripts.extract()
    assert len(transcripts.extract().outcomes) == 4


def test_a_cache_may_lie_on_object_storage(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    root = "memory://bucket/cache"
    assert len(transcripts.extract(cache_root=root).outcomes) == 4
    assert transcripts.extract(cache_root=root).outcomes == ()
    transcripts.extract()
    np.testing.assert_array_equal(
        open_cache(f"{root}/talks")["doubled"].read(),
        open_cache(transcripts.cache_url)["doubled"].read(),
    )


def test_weights_are_looked_for_once_by_the_plan_and_once_by_the_worker(
    transcripts: Transcripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    finds: list[str] = []

    def noted(id: str, *others: object) -> Weights:
        finds.append(id)
        return Weights(id, None, RANDOM)

    monkeypatch.setattr("pipeline.extractors.bert.find", noted)
    transcripts.texts(["hello"] * 9)
    transcripts.stages_file.write_text("{partition: 2, stages: {bert: {weights: random}}}")
    assert len(transcripts.extract().outcomes) == 5
    assert finds == ["random", "random"]
