"""A cache on S3: a real server on loopback, real requests, real kills."""

import os
import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pipeline import open_cache
from pipeline.errors import UserError
from pipeline.io.folder import Folder
from pipeline.io.lease import LEASE_FILE, holder
from pipeline.io.lock import held
from pipeline.runner.dask_engine import DaskEngine
from pipeline.store.store import Store
from tests.conftest import Transcripts
from tests.support.processes import BIN, child, free_port, smp, wait_until

pytestmark = pytest.mark.slow

Bytes = Callable[[str], dict[str, bytes]]
TEXTS = [chr(ord("a") + i // 2) * (1 + i % 40) for i in range(16)]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server that speaks S3."""
    url = f"http://127.0.0.1:{free_port()}"

    def answers() -> bool:
        with suppress(OSError):
            return bool(urllib.request.urlopen(url, timeout=5).status)
        return False

    with child(BIN / "moto_server", "-H", "127.0.0.1", "-p", url.rsplit(":", 1)[1]) as process:
        wait_until(answers, process)
        yield url


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket, `s3://…`; credentials and address are where a user has them."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "a key",
        "AWS_SECRET_ACCESS_KEY": "a secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{uuid4().hex}"
    of_another_process().mkdir(url)
    return url


def of_another_process() -> Any:
    """The storage as a process sees it that shares nothing with this one."""
    import s3fs

    return s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)


def remote_bytes(cache_url: str) -> dict[str, bytes]:
    """Every object of a cache's stores, by name."""
    storage = of_another_process()
    found = storage.cat([f"s3://{path}" for path in storage.find(cache_url) if ".zarr" in path])
    root = cache_url.removeprefix("s3://") + "/"
    return {path.removeprefix("s3://").removeprefix(root): found[path] for path in found}


def on_s3(transcripts: Transcripts, bucket: str, **settings: object) -> list[object]:
    """The command line that extracts to the bucket with the toy that can be slow."""
    toy = {"extractor": "tests.support.toys.mortal", **settings}
    transcripts.stages(letters=toy, bert=toy)
    where = ("--stages", transcripts.stages_file, "--cache", f"{bucket}/cache")
    return smp("extract", transcripts.folder, *where)


def committed(cache_url: str) -> int:
    return len([p for p in of_another_process().find(cache_url) if "/commits/0" in p])


def test_a_folder_of_objects_is_like_any_other(bucket: str) -> None:
    folder = Folder(f"{bucket}/folder")
    assert folder.read("a.json") is None
    assert folder.names() == []
    assert folder.read_all(".json") == {}
    assert folder.size_bytes() == 0
    folder.write("a.json", b"one")
    folder.write("a.json", b"two")
    assert folder.create("b.json", b"three")
    assert not folder.create("b.json", b"four")
    (folder / "below").write("c.txt", b"five")
    assert folder.read("a.json") == b"two"
    assert folder.names() == ["a.json", "b.json", "below"]
    assert folder.read_all(".json") == {"a.json": b"two", "b.json": b"three"}
    assert folder.size_bytes() == 12
    folder.remove("a.json")
    folder.remove("a.json")
    assert folder.names() == ["b.json", "below"]


def test_what_another_process_writes_is_seen_at_once(bucket: str) -> None:
    folder = Folder(f"{bucket}/folder")
    folder.write("a", b"")
    assert folder.names() == ["a"]
    of_another_process().pipe_file(f"{bucket}/folder/b", b"")
    assert folder.names() == ["a", "b"]


def test_a_killed_run_resumes_to_the_bytes_of_an_uninterrupted_local_one(
    transcripts: Transcripts, stored_bytes: Bytes, bucket: str
) -> None:
    transcripts.texts(TEXTS)
    cache_url = f"{bucket}/cache/talks"
    command = on_s3(transcripts, bucket, pause_s=0.6)
    with child(*command, "--workers", 2) as process:
        wait_until(lambda: committed(cache_url) >= 2, process)
        os.kill(process.pid, signal.SIGKILL)
    assert committed(cache_url) < 12
    with child(*on_s3(transcripts, bucket)) as process:
        output = process.output()
    assert process.returncode == 0, output
    transcripts.extract()
    assert remote_bytes(cache_url) == stored_bytes(transcripts.cache_url)
    assert [name for name in Folder(cache_url).names() if name == LEASE_FILE] == []


def test_status_and_training_read_a_cache_on_s3(transcripts: Transcripts, bucket: str) -> None:
    transcripts.texts(TEXTS)
    on_s3(transcripts, bucket)
    transcripts.extract(DaskEngine(), cache_root=f"{bucket}/cache")
    where = ("--cache", f"{bucket}/cache")
    with child(*smp("status", transcripts.folder, *where)) as process:
        output = process.output()
    assert process.returncode == 0, output
    assert output.count("4/4") == 3
    runs = transcripts.folder / "runs"
    options = ("--epochs", 2, "--runs", runs)
    with child(*smp("train", transcripts.folder, *where, *options)) as process:
        output = process.output()
    assert process.returncode == 0, output
    assert "MAE" in output
    assert len(list(runs.iterdir())) == 1


def test_a_setting_may_change_and_clips_may_come_on_s3(
    transcripts: Transcripts, stored_bytes: Bytes, bucket: str
) -> None:
    roots = (f"{bucket}/cache", transcripts.cache_root)
    for texts in (TEXTS[:6], ["changed", *TEXTS[1:9]]):
        transcripts.texts(texts)
        done = [transcripts.extract(cache_root=root).outcomes for root in roots]
        assert [(o.stage, o.partition) for o in done[0]] == [
            (o.stage, o.partition) for o in done[1]
        ]
    assert remote_bytes(f"{bucket}/cache/talks") == stored_bytes(transcripts.cache_url)
    assert len(open_cache(f"{bucket}/cache/talks")["doubled"].read()) == 9
    assert len(Folder(f"{bucket}/cache/talks/logs").names()) == 2


def test_two_runs_on_one_cache_are_one_run(
    transcripts: Transcripts, bucket: str, tmp_path: Path
) -> None:
    transcripts.texts(TEXTS)
    command = on_s3(transcripts, bucket, pause_s=4)  # longer than a lease is watched
    folder = Folder(f"{bucket}/cache/talks")
    with child(*command) as first:
        wait_until(lambda: holder(folder), first)
        with child(*command) as second:
            output = second.output()
        assert second.returncode == 2
        waiting, refused = output.strip().splitlines()
        assert "waiting up to 120 s for a sign of life" in waiting
        assert f"in use by process {first.pid} on" in refused
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        with held(folder):  # its process is gone, so there is nothing to wait for
            found = holder(folder)
            assert found is not None
            assert found.process == os.getpid()


def test_storage_that_refuses_is_told_in_one_line(
    transcripts: Transcripts, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcripts.texts(TEXTS[:4])
    with pytest.raises(UserError, match=r"s3://no-such-bucket/.*bucket does not exist"):
        transcripts.extract(cache_root="s3://no-such-bucket/cache")
    with pytest.raises(UserError, match="no-such-bucket/x: nothing extracted yet"):
        open_cache("s3://no-such-bucket/x")
    with pytest.raises(UserError, match=r"nonsense://x.* can't be reached: Protocol not known"):
        open_cache("nonsense://x/cache")


def test_a_store_on_s3_is_read_back_row_by_row(transcripts: Transcripts, bucket: str) -> None:
    transcripts.texts(["abc", ""])
    transcripts.extract(cache_root=f"{bucket}/cache")
    store = Store(open_cache(f"{bucket}/cache/talks")["letters"].url)
    rows = list(store.rows(0))
    assert rows[0].rows["codes"].tolist() == [97, 98, 99]
    assert rows[1].state == "missing"
