"""Workers in other processes, and what becomes of a run when they die, hide or disagree."""

import json
import logging
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from distributed import Client

from pipeline.dag.spec import Stages
from pipeline.dag.task import Task
from pipeline.errors import UserError
from pipeline.runner.dask_engine import DaskEngine
from pipeline.runner.dask_engine.cluster import STARTS, quiet, worker_options
from pipeline.runner.dask_engine.workers import LOOK_EVERY_S, Workers, _answer
from pipeline.runner.serial import run_serially
from pipeline.runner.task import execute
from pipeline.runner.worker_check import UnfitWorkerError, WorkerCheck
from pipeline.store.layout import store_url
from pipeline.store.store import Store
from tests.conftest import Transcripts
from tests.support.paths import ROOT
from tests.support.processes import BIN, Child, child, free_port, smp, wait_until
from tests.support.toys.letters import Letters

Bytes = Callable[[str], dict[str, bytes]]
ROOM = "pipeline.runner.dask_engine"
TEXTS = [f"text number {i}" for i in range(48)]


class Cluster:
    """`dask scheduler` and `dask worker`, as a user starts them."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        port = free_port()
        self.address = f"tcp://127.0.0.1:{port}"
        options = ("--host", "127.0.0.1", "--port", port, "--no-dashboard", "--no-show")
        self.scheduler = stack.enter_context(child(BIN / "dask", "scheduler", *options))

    def worker(self, *options: object, cwd: Path = ROOT) -> None:
        """Start a worker of one thread in a process of its own."""
        command = [BIN / "dask", "worker", self.address, "--nthreads", 1, "--no-dashboard"]
        self._stack.enter_context(child(*command, *options, cwd=cwd))

    def pids(self, workers: int) -> dict[str, int]:
        """The processes of the workers by address, once there are so many."""
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=180)
            return dict(client.run(os.getpid))

    def accelerated(self) -> list[str]:
        """The addresses of the workers that declare an accelerator."""
        with Client(self.address, set_as_default=False) as client:
            workers = client.scheduler_info()["workers"]
        return [address for address, worker in workers.items() if "GPU" in worker["resources"]]


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster for many tests: two workers in another folder, one with an accelerator."""
    with ExitStack() as stack:
        started = Cluster(stack)
        started.worker(cwd=tmp_path_factory.mktemp("elsewhere"))
        started.worker("--resources", "GPU=1", cwd=tmp_path_factory.mktemp("elsewhere"))
        started.pids(2)
        yield started


def mortal(transcripts: Transcripts, **settings: object) -> None:
    transcripts.stages(letters={"extractor": "tests.support.toys.mortal", **settings})


def serial_bytes(transcripts: Transcripts, stored_bytes: Bytes) -> dict[str, bytes]:
    transcripts.extract(run_serially, cache_root=f"{transcripts.cache_root}-serial")
    return stored_bytes(f"{transcripts.cache_root}-serial/talks")


def committed(transcripts: Transcripts) -> int:
    return len(list(Path(transcripts.cache_url).glob("*/*.zarr/commits/[0-9]*.json")))


@contextmanager
def extracting(transcripts: Transcripts, address: str) -> Iterator[Child]:
    """`smp extract` in a process of its own."""
    where = ("--stages", transcripts.stages_file, "--cache", transcripts.cache_root)
    with child(*smp("extract", transcripts.folder, *where, "--scheduler", address)) as process:
        wait_until(lambda: committed(transcripts), process)
        yield process


# ---- a real scheduler and two workers -----------------------------------------------------------


@pytest.mark.slow
def test_workers_on_a_cluster_write_the_same_bytes_and_load_a_model_once_each(
    transcripts: Transcripts, stored_bytes: Bytes, two_workers: Cluster, tmp_path: Path
) -> None:
    loads = tmp_path / "loads.txt"
    transcripts.texts([*TEXTS, "", "a longer text " * 9])
    mortal(transcripts, loads=str(loads), pause_s=0.01)
    done = transcripts.extract(DaskEngine(scheduler=two_workers.address))
    assert len(done.outcomes) == 26
    loaded = [int(line) for line in loads.read_text().split()]
    assert sorted(loaded) == sorted(two_workers.pids(2).values())
    assert stored_bytes(transcripts.cache_url) == serial_bytes(transcripts, stored_bytes)


@pytest.mark.slow
def test_tasks_for_an_accelerator_go_to_the_workers_that_declare_one(
    transcripts: Transcripts,
    two_workers: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loads = tmp_path / "loads.txt"
    transcripts.texts(TEXTS[:24])
    mortal(transcripts, loads=str(loads), device="auto", pause_s=0.01)
    monkeypatch.chdir(tmp_path)  # the workers are elsewhere
    done = transcripts.extract(DaskEngine(scheduler=two_workers.address), cache_root="cache")
    assert len(done.outcomes) == 12
    assert not [o.error for o in done.outcomes if o.error]
    declaring = [two_workers.pids(2)[address] for address in two_workers.accelerated()]
    assert [int(line) for line in loads.read_text().split()] == declaring


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_nothing_but_time(
    transcripts: Transcripts, stored_bytes: Bytes, two_workers: Cluster
) -> None:
    transcripts.texts(TEXTS)
    mortal(transcripts, pause_s=0.05)
    victim = min(two_workers.pids(2).values())
    with extracting(transcripts, two_workers.address) as process:
        wait_until(lambda: committed(transcripts) >= 4, process)
        os.kill(victim, signal.SIGKILL)
        output = process.output()
    assert process.returncode == 0, output
    assert stored_bytes(transcripts.cache_url) == serial_bytes(transcripts, stored_bytes)
    assert victim not in two_workers.pids(2).values(), "its nanny has replaced it"


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_after_what_it_left_under_way(
    transcripts: Transcripts,
    stored_bytes: Bytes,
    two_workers: Cluster,
    caplog: pytest.LogCaptureFixture,
) -> None:
    transcripts.texts(TEXTS[:24])
    mortal(transcripts, pause_s=0.5)
    with extracting(transcripts, two_workers.address) as process:
        process.kill()
        process.wait()
        mortal(transcripts)
        done = transcripts.extract(DaskEngine(scheduler=two_workers.address))
    assert "partitions that an earlier run left running" in caplog.text
    assert not [o.error for o in done.outcomes if o.error]
    assert stored_bytes(transcripts.cache_url) == serial_bytes(transcripts, stored_bytes)


@pytest.mark.slow
def test_a_worker_that_can_not_import_the_code_is_named(
    transcripts: Transcripts, two_workers: Cluster, tmp_path: Path
) -> None:
    preload = tmp_path / "hide.py"
    preload.write_text("import sys\nsys.modules['pipeline'] = None\n")
    transcripts.texts(TEXTS[:4])
    command = (BIN / "dask", "worker", two_workers.address, "--no-nanny", "--no-dashboard")
    with child(*command, "--preload", preload):
        two_workers.pids(3)
        with pytest.raises(UserError, match=r"the worker tcp://.+ can't run tasks .+smp-sentiment"):
            transcripts.extract(DaskEngine(scheduler=two_workers.address))
    assert committed(transcripts) == 0


@pytest.mark.slow
def test_a_scheduler_that_goes_away_ends_the_run_with_what_is_committed(
    transcripts: Transcripts, stored_bytes: Bytes
) -> None:
    transcripts.texts(TEXTS)
    mortal(transcripts, pause_s=0.1)
    with ExitStack() as stack:
        cluster = Cluster(stack)
        cluster.worker("--no-nanny")
        with extracting(transcripts, cluster.address) as process:
            cluster.scheduler.kill()
            output = process.output()
    assert process.returncode == 1, output
    assert f"the dask scheduler at {cluster.address} went away" in output
    assert "Traceback" not in output
    assert 1 <= committed(transcripts) < 24
    mortal(transcripts)
    transcripts.extract()
    assert stored_bytes(transcripts.cache_url) == serial_bytes(transcripts, stored_bytes)


def test_a_lost_connection_is_not_told_by_dask_too() -> None:
    loggers = [logging.getLogger(f"distributed.{name}") for name in ("batched", "client", "core")]
    before = [logger.getEffectiveLevel() for logger in loggers]
    with quiet():
        assert not any(logger.isEnabledFor(logging.ERROR) for logger in loggers)
    assert [logger.getEffectiveLevel() for logger in loggers] == before


# ---- workers that die of a clip -----------------------------------------------------------------


@pytest.mark.slow
def test_a_clip_that_kills_its_worker_costs_its_own_partition(transcripts: Transcripts) -> None:
    transcripts.texts([*TEXTS[:5], "!kill", *TEXTS[6:20]])
    mortal(transcripts)
    done = transcripts.extract(DaskEngine(workers=2))
    errors = {(o.stage, o.partition): o.error for o in done.outcomes if o.error}
    assert set(errors) == {("letters", 1), ("doubled", 1)}
    assert "its worker died every time" in errors["letters", 1]
    assert "v/0004, v/0005, v/0006, v/0007" in errors["letters", 1]
    assert committed(transcripts) == 8
    transcripts.texts(TEXTS[:20])
    assert {(o.stage, o.partition) for o in transcripts.extract().outcomes} == set(errors)


@pytest.mark.slow
def test_a_worker_that_died_once_is_replaced_and_nothing_lacks(
    transcripts: Transcripts, stored_bytes: Bytes, tmp_path: Path
) -> None:
    transcripts.texts([*TEXTS[:3], f"!once {tmp_path / 'died'}", *TEXTS[4:12]])
    mortal(transcripts)
    done = transcripts.extract(DaskEngine(workers=1))
    assert (tmp_path / "died").exists()
    assert not [o.error for o in done.outcomes if o.error]
    assert stored_bytes(transcripts.cache_url) == serial_bytes(transcripts, stored_bytes)


@pytest.mark.slow
@pytest.mark.parametrize("deaths", [1, 9])
def test_a_worker_that_is_killed_while_it_starts_is_started_again(
    transcripts: Transcripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaths: int
) -> None:
    killer, died = tmp_path / "killer.py", tmp_path / "died"
    killer.write_text(
        f"import os\nwith open({str(died)!r}, 'a+') as file:\n    print(file=file)\n"
        f"    dies = file.tell() <= {deaths}\nif dies:\n    os.kill(os.getpid(), 9)\n"
    )
    options = {**worker_options(1)[0], "preload": [str(killer)]}
    monkeypatch.setattr(f"{ROOM}.cluster.worker_options", lambda workers: [options] * workers)
    transcripts.texts(TEXTS[:4])
    if deaths < STARTS:
        assert not [o.error for o in transcripts.extract(DaskEngine(workers=1)).outcomes if o.error]
        return
    with pytest.raises(UserError, match=r"no worker process can be started .+ memory"):
        transcripts.extract(DaskEngine(workers=1))


def test_a_task_that_is_given_out_again_after_its_commit_does_nothing(
    transcripts: Transcripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks: list[Task] = []

    def twice(given, stop):
        tasks.extend(given)
        yield from run_serially(given, stop)

    transcripts.texts(TEXTS[:6])
    first = transcripts.extract(twice).outcomes
    transcripts.called()
    monkeypatch.setattr(Store, "write", lambda *_: pytest.fail("written again"))
    again = [replace(execute(task), seconds=0) for task in sorted(tasks, key=lambda t: t.id)]
    assert again == [
        replace(o, seconds=0) for o in sorted(first, key=lambda o: (o.partition, o.stage))
    ]
    assert transcripts.called() == []


# ---- workers that do not see what the run sees --------------------------------------------------


@pytest.fixture
def check(transcripts: Transcripts, tmp_path: Path) -> WorkerCheck:
    media = tmp_path / "clip.mp4"
    media.write_bytes(b"12345")
    found: list[WorkerCheck] = []

    def look(tasks, stop):
        found.append(WorkerCheck.of(tasks))
        return ()

    transcripts.texts(TEXTS[:4])
    transcripts.extract(look)
    return replace(found[0], lease="", media=(str(media), 5))


def test_a_worker_that_sees_the_same_is_fit(check: WorkerCheck) -> None:
    assert {"Python", "torch", "zarr", "extractor tests.support.toys.letters"} <= dict(
        check.versions
    ).keys()
    check.check()


def test_a_worker_without_the_cache_the_clips_or_the_versions_is_told_which(
    check: WorkerCheck, tmp_path: Path
) -> None:
    gone = str(tmp_path / "gone")
    versions = (("torch", "0.1"), ("extractor tests.support.toys.letters", "99"))
    differing = {
        "does not see the cache": replace(check, lease="of another run"),
        f"does not see the cache {gone}": replace(check, cache_url=gone, lease="x"),
        f"does not see the clip {gone}": replace(check, media=(gone, 5)),
        "does not see the clip": replace(check, media=(__file__, 6)),
        r"has torch .+ where this run has 0\.1, extractor .+ 1 where this run has 99": replace(
            check, versions=versions
        ),
        "no extractor 'tests.support.toys.lettres'": replace(
            check, spec=check.spec.replace("toys.letters", "toys.lettres")
        ),
    }
    for message, one in differing.items():
        with pytest.raises(UnfitWorkerError, match=message):
            one.check()


def test_a_worker_with_other_code_or_weights_than_planned_is_refused(
    check: WorkerCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    unaware = replace(check, versions=())  # as where the weights alone differ
    unaware.check()
    monkeypatch.setattr(Letters, "version", 2)
    with pytest.raises(UnfitWorkerError, match=r"would write .+/letters/.+ as planned"):
        unaware.check()


@pytest.mark.slow
def test_a_worker_that_joins_later_is_asked_too(
    transcripts: Transcripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcripts.texts(TEXTS[:4])
    monkeypatch.setattr(f"{ROOM}.engine.check_workers", lambda client, check, gpu: None)
    of = WorkerCheck.of
    monkeypatch.setattr(WorkerCheck, "of", lambda tasks: replace(of(tasks), lease="of another run"))
    with pytest.raises(UserError, match="does not see the cache"):
        transcripts.extract(DaskEngine())


# ---- workers that are there, and that are not ---------------------------------------------------


def test_the_clients_own_look_at_the_scheduler_hides_no_workers(
    transcripts: Transcripts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It asks for none of them, and its answer may come between ours and our reading it."""
    ask, asked = Client._update_scheduler_info, list[bool]()

    async def overtaken(self: Client, *arguments: int, **options: int) -> None:
        await ask(self, *arguments, **options)
        if (arguments or options) and not asked:
            asked.append(True)
            await ask(self)

    monkeypatch.setattr(Client, "_update_scheduler_info", overtaken)
    transcripts.texts(TEXTS[:4])
    done = transcripts.extract(DaskEngine())
    assert len(done.outcomes) == 2
    assert "has no workers" not in caplog.text


class Answers:
    """A client whose scheduler has so many threads, one answer after the other."""

    scheduler = SimpleNamespace(address="tcp://there:1")

    def __init__(self, *threads: int) -> None:
        self._threads = list(threads)

    def run_on_scheduler(self, count: Callable[..., object]) -> object:
        threads = self._threads.pop(0)
        workers = {"a": SimpleNamespace(nthreads=threads, resources={})} if threads else {}
        return count(dask_scheduler=SimpleNamespace(workers=workers))


def test_a_moment_without_workers_stops_nothing_and_a_while_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    workers = Workers(Answers(2, 0, 3, 0, 0, 0, 0, 1, 0, 0, 0))
    threads, told = [], []
    for _ in range(11):
        now += LOOK_EVERY_S
        workers.look()
        threads.append(workers.threads)
        told.append(caplog.text.count("tcp://there:1 has no workers: waiting"))
    assert threads == [2, 2, 3, 3, 3, 3, 3, 1, 1, 1, 1]
    assert told == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2]


def test_a_device_that_the_workers_lack_is_told_before_anything_runs(
    transcripts: Transcripts,
) -> None:
    transcripts.texts(TEXTS[:8])
    mortal(transcripts, device="cuda:99")
    with pytest.raises(UserError, match="'letters': device 'cuda:99' can't be used on"):
        transcripts.extract(DaskEngine())
    assert committed(transcripts) == 0


def test_only_workers_that_declare_an_accelerator_are_asked_for_devices_where_some_do(
    check: WorkerCheck,
) -> None:
    spec = json.loads(check.spec)
    spec["stages"]["letters"] = {"extractor": "tests.support.toys.mortal", "device": "cuda:99"}
    fingerprint = Stages(spec).identities([Stages(spec)["letters"]])["letters"]["fingerprint"]
    stores = (("letters", store_url(check.cache_url, "letters", fingerprint)),)
    here = replace(check, spec=json.dumps(spec), versions=(), stores=stores)
    for declared, gpu, asked in (({}, False, True), ({}, True, False), ({"GPU": 1.0}, True, True)):
        worker = SimpleNamespace(state=SimpleNamespace(total_resources=declared))
        with pytest.raises(UserError) if asked else nullcontext():
            assert _answer(pickle.dumps(here), gpu, worker) == (0, [])


# ---- accelerators -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "visible", "threads"),
    [(3, ["2", "5", None], [8, 8, 1]), (2, ["2", "5"], [8, 8]), (1, ["2,5"], [16])],
)
def test_processes_share_out_the_accelerators_and_with_them_the_cores(
    monkeypatch: pytest.MonkeyPatch, workers: int, visible: list[str | None], threads: list[int]
) -> None:
    monkeypatch.setattr(f"{ROOM}.cluster.device_of", lambda setting: "cuda")
    monkeypatch.setattr(f"{ROOM}.cluster.resources.cores", lambda: 16)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    options = worker_options(workers)
    assert [o.get("env", {}).get("CUDA_VISIBLE_DEVICES") for o in options] == visible
    declared = [{"GPU": len(own.split(","))} if own else None for own in visible]
    assert [o.get("resources") for o in options] == declared
    assert [o["nthreads"] for o in options] == threads
