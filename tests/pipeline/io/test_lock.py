"""One run a cache: who is refused, by whom, and what becomes of a holder that died."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.io import lease as leases
from pipeline.io.folder import Folder
from pipeline.io.lease import LEASE_FILE, STALE_S, Holder, holder
from pipeline.io.lock import held
from tests.support.processes import child, wait_until

HOLD = """
import sys, time
from pipeline.io.folder import Folder
from pipeline.io.lock import held
with held(Folder(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """A cache where the system's lock reaches, and one where the lease alone decides."""
    url = tmp_path / "cache" if request.param == "local" else f"memory://{tmp_path}/cache"
    return Folder(url)


def elsewhere(seen: float) -> Holder:
    return Holder("someone", "far", "another boot", 77, seen - 3600, seen)


def on(folder: Folder) -> Holder:
    found = holder(folder)
    assert found is not None
    return found


def leave(folder: Folder, other: Holder) -> None:
    folder.write(LEASE_FILE, json.dumps(asdict(other)).encode())


def test_the_second_is_refused_with_who_holds_it(folder: Folder) -> None:
    with held(folder):
        message = rf"in use by process {os.getpid()} on .+ since \d{{4}}-.+last sign of life"
        with pytest.raises(UserError, match=message), held(folder):
            pass
    with held(folder):
        pass
    assert holder(folder) is None


def test_a_holder_on_another_host_is_respected_while_it_lives(folder: Folder) -> None:
    leave(folder, elsewhere(time.time() - STALE_S / 2))
    with pytest.raises(UserError, match="process 77 on far"), held(folder):
        pass
    assert on(folder).id == "someone"


def test_a_holder_on_another_host_that_went_silent_is_taken_over(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    leave(folder, elsewhere(time.time() - STALE_S - 1))
    with held(folder):
        assert on(folder).process == os.getpid()
    assert "taken over from process 77 on far" in caplog.text


def test_a_holder_of_this_machine_whose_process_is_gone_is_taken_over_at_once(
    folder: Folder,
) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1)
    leave(folder, replace(Holder.this(), process=int(gone.stdout)))
    with held(folder):
        assert on(folder).process == os.getpid()


def test_a_holder_that_was_taken_for_dead_stops(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT_S", 0.02)
    with held(folder) as lease:
        lease.check()
        first = on(folder)
        wait_until(lambda: on(folder).seen > first.seen)
        # More than once: a sign of life that is under way may still cover it.
        while lease._lost is None:
            leave(folder, elsewhere(time.time()))
            time.sleep(0.05)
        with pytest.raises(UserError, match="taken over by process 77 on far"):
            lease.check()
    assert on(folder).id == "someone", "what is another's is not removed"


def test_of_two_that_take_over_at_once_one_succeeds(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other's lease comes between the removal of the stale one and ours."""
    leave(folder, elsewhere(time.time() - STALE_S - 1))
    monkeypatch.setattr(leases, "SETTLE_S", 0.0)
    remove = Folder.remove

    def remove_and_lose(self: Folder, name: str) -> None:
        remove(self, name)
        leave(self, elsewhere(time.time()))

    monkeypatch.setattr(Folder, "remove", remove_and_lose)
    with pytest.raises(UserError, match="process 77 on far"), held(folder):
        pass


def test_without_locks_of_the_system_the_lease_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*args: object) -> None:
        raise OSError(37, os.strerror(37))  # ENOLCK

    monkeypatch.setattr("fcntl.flock", no_locks)
    folder, message = Folder(tmp_path), f"in use by process {os.getpid()}"
    with held(folder), pytest.raises(UserError, match=message), held(folder):
        pass
    with held(folder):
        pass


def test_a_damaged_lease_is_named(folder: Folder) -> None:
    folder.write(LEASE_FILE, b"{")
    with pytest.raises(UserError, match=rf"{LEASE_FILE} is damaged; delete it"), held(folder):
        pass


def test_a_process_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "cache")
    with child(sys.executable, "-c", HOLD, folder.url) as process:
        wait_until(lambda: holder(folder), process)
        with pytest.raises(UserError, match=f"in use by process {process.pid} on"), held(folder):
            pass
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with held(folder):
            assert on(folder).process == os.getpid()
