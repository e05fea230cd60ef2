"""Object storage that answers late or never: told while it is waited for, and given up in time."""

import socket

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.errors import UserError
from pipeline.io import folder as folders
from pipeline.io.folder import Folder, storage_options
from tests.support.processes import wait_until


def test_storage_that_answers_late_is_named_meanwhile(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def late(*_: object, **__: object) -> bytes:
        wait_until(lambda: caplog.text.count("memory://late has not answered for 0 s") >= 2)
        return b"here"

    monkeypatch.setattr(folders, "LINE_EVERY_S", 0.01)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", late)
    assert Folder("memory://late").read("a") == b"here"


def test_only_s3_is_told_how_long_to_wait() -> None:
    assert storage_options("memory://a") == {"use_listings_cache": False}
    limits = {"connect_timeout": 5, "read_timeout": 15, "retries": {"total_max_attempts": 2}}
    assert storage_options("s3://a/b")["config_kwargs"] == limits


def test_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMP_S3_CONNECT_S", "0.5")
    monkeypatch.setenv("SMP_S3_ANSWER_S", "90")
    monkeypatch.setenv("SMP_S3_TRIES", "7")
    limits = {"connect_timeout": 0.5, "read_timeout": 90, "retries": {"total_max_attempts": 7}}
    assert storage_options("s3a://a/b")["config_kwargs"] == limits


@pytest.mark.parametrize("given", ["", "soon", "0", "-1", "nan", "inf", "1e300", "\x1b[2J"])
def test_a_limit_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("SMP_S3_ANSWER_S", given)
    with pytest.raises(UserError, match="^SMP_S3_ANSWER_S is .*: set it to a number") as told:
        Folder("s3://a/b").read("c")
    assert str(told.value).isprintable()


@pytest.mark.slow
def test_a_server_that_says_nothing_is_given_up_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMP_S3_ANSWER_S", "0.2")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "a key",
            "AWS_SECRET_ACCESS_KEY": "a secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match=r"^s3://silent/x can't .*: Read timeout on") as told:
            Folder("s3://silent/x").read("a")
        limits = "SMP_S3_CONNECT_S=5, SMP_S3_ANSWER_S=0.2, SMP_S3_TRIES=2"
        assert str(told.value).endswith(f"; to wait longer, raise {limits}")
