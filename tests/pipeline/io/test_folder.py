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
    assert storage_options("s3://a/b")["config_kwargs"] == folders.S3_LIMITS


@pytest.mark.slow
def test_a_server_that_says_nothing_is_given_up_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "S3_LIMITS", {**folders.S3_LIMITS, "read_timeout": 0.2})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "a key",
            "AWS_SECRET_ACCESS_KEY": "a secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match=r"^s3://silent/x can't be reached: Read timeout on"):
            Folder("s3://silent/x").read("a")
