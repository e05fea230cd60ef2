"""One run a cache: who is refused, by whom, and what becomes of a holder that died."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipeline.errors import BrokenOffError, UserError
from pipeline.io import lease as leases
from pipeline.io.folder import Folder
from pipeline.io.lease import BEAT_S, LEASE_FILE, STALE_S, Holder, Lease, holder
from pipeline.io.lock import held
from tests.support.paths import ROOT
from tests.support.processes import child, wait_until

HOLD = """
import sys, time
from pipeline.io.folder import Folder
from pipeline.io.lock import held
with held(Folder(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""
DAY_S = 24 * 3600.0


class Clock:
    """Time that passes when somebody waits, and what happens meanwhile: `then` at each wait."""

    def __init__(self, wall: float) -> None:
        self.wall, self.now = wall, 1000.0
        self.then: Callable[[], object] = lambda: None
        self.strftime, self.localtime = time.strftime, time.localtime

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds
        self.then()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(time.time())
    monkeypatch.setattr(leases, "time", made)
    return made


@pytest.fixture(params=["local", "no locks", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """A cache where the system's lock reaches, and two where the lease alone decides."""
    if request.param == "no locks":
        request.getfixturevalue("monkeypatch").setattr("fcntl.flock", no_locks)
    return Folder(f"memory://{tmp_path}/cache" if request.param == "memory" else tmp_path / "cache")


@pytest.fixture(params=["no locks", "memory"])
def unlocked(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """A cache where the lease alone decides."""
    if request.param == "no locks":
        request.getfixturevalue("monkeypatch").setattr("fcntl.flock", no_locks)
    return Folder(f"memory://{tmp_path}/cache" if request.param == "memory" else tmp_path / "cache")


def no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def elsewhere(seen: float) -> Holder:
    return Holder("someone", "far", "another boot/1", 77, seen - 3600, seen)


def on(folder: Folder) -> Holder:
    found = holder(folder)
    assert found is not None
    return found


def leave(folder: Folder, other: Holder | bytes) -> None:
    content = other if isinstance(other, bytes) else json.dumps(asdict(other)).encode()
    folder.write(LEASE_FILE, content)


# ---- a holder that lives ------------------------------------------------------------------------


def test_where_locks_reach_the_second_is_refused_at_once_with_who_holds_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "cache")
    with held(folder):
        message = rf"in use by process {os.getpid()} on .+ since \d{{4}}-.+; wait for it"
        with pytest.raises(UserError, match=message), held(folder):
            pass
    with held(folder):
        pass
    assert holder(folder) is None


@pytest.mark.parametrize("clock_of_holder_s", [0.0, DAY_S, -DAY_S])
def test_the_second_waits_for_a_sign_of_life_and_is_refused_when_it_comes(
    unlocked: Folder, clock: Clock, clock_of_holder_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    clock.wall += clock_of_holder_s
    with held(unlocked) as lease:
        clock.wall -= clock_of_holder_s
        began = clock.now

        def beat() -> None:
            if clock.now - began >= BEAT_S:
                lease._beat()

        clock.then = beat
        with pytest.raises(UserError, match=f"in use by process {os.getpid()} on"), held(unlocked):
            pass
        assert clock.now - began <= BEAT_S + 2
        lease.check()
    assert caplog.text.count("waiting up to 120 s for a sign of life") == 1
    with held(unlocked):
        pass
    assert holder(unlocked) is None


def test_the_second_goes_on_as_soon_as_the_first_has_ended(unlocked: Folder, clock: Clock) -> None:
    leave(unlocked, elsewhere(clock.wall))
    began, clock.then = clock.now, lambda: unlocked.remove(LEASE_FILE)
    with held(unlocked):
        assert clock.now - began < BEAT_S


def test_a_waiting_run_that_was_halted_looks_again_before_it_takes_over(
    unlocked: Folder, clock: Clock
) -> None:
    leave(unlocked, elsewhere(clock.wall))

    def halted() -> None:
        clock.now += STALE_S
        leave(unlocked, elsewhere(clock.wall))

    clock.then = halted
    with pytest.raises(UserError, match="process 77 on far"), held(unlocked):
        pass


# ---- a holder that is gone ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "left",
    [
        b"",
        b"{",
        b"\x00\xff" * 99,
        b"[" * 100_000,
        b'{"id": 1}',
        elsewhere(0),
        elsewhere(time.time()),
        elsewhere(time.time() + DAY_S),
        elsewhere(time.time() - DAY_S),
        elsewhere(1e300),
        elsewhere(float("nan")),
    ],
    ids=["empty", "cut", "garbled", "deep", "old", "1970", "now", "ahead", "behind", "huge", "NaN"],
)
def test_a_lease_that_does_not_change_is_taken_over_after_120_s_whatever_it_says(
    folder: Folder, clock: Clock, left: Holder | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    leave(folder, left)
    began = clock.now
    with held(folder):
        assert on(folder).process == os.getpid()
        assert STALE_S <= clock.now - began <= STALE_S + 5
    assert "taken over from " in caplog.text


def test_a_process_number_that_another_has_by_now_keeps_nobody_off(
    unlocked: Folder, clock: Clock
) -> None:
    """As in a container that was started again: the same number, boot and namespace."""
    for process in (os.getpid(), 1):
        leave(unlocked, replace(Holder.this(), process=process))
        began = clock.now
        with held(unlocked):
            assert clock.now - began >= STALE_S


def test_a_holder_of_this_machine_whose_process_is_gone_is_taken_over_at_once(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "SETTLE_S", 0.0)
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1)
    leave(folder, replace(Holder.this(), process=int(gone.stdout)))
    with held(folder):
        assert on(folder).process == os.getpid()


def test_where_locks_reach_no_process_of_this_system_is_waited_for(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    boot = Holder.this().machine.partition("/")[0]
    leave(folder, replace(Holder.this(), machine=f"{boot}/another container"))
    with held(folder):
        assert on(folder).process == os.getpid()


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


IN_A_CONTAINER = """
import fcntl, os, sys
from pipeline.io import lease
from pipeline.io.folder import Folder
from pipeline.io.lock import held
from tests.pipeline.io.test_lock import no_locks

fcntl.flock, lease.STALE_S, lease.LOOK_EVERY_S = no_locks, 0.5, 0.1
lease._machine = lambda: open("/proc/sys/kernel/random/boot_id").read().strip() + "/the same"
with held(Folder(sys.argv[1])):
    print("held by", os.getpid(), flush=True)
    os._exit(9)  # as a container that is killed
"""


def test_a_container_that_is_started_again_is_not_locked_out(tmp_path: Path) -> None:
    """Its process has the number of the one that died; namespaces' own numbers come again too."""
    container = ["unshare", "--pid", "--fork", "--user", "--map-root-user"]
    if subprocess.run([*container, "true"], capture_output=True).returncode:
        pytest.skip("this kernel lets nobody make a namespace")
    command = [*container, sys.executable, "-c", IN_A_CONTAINER, str(tmp_path / "cache")]
    said = [
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        for _ in range(2)
    ]
    assert [done.stdout for done in said] == ["held by 1\n"] * 2, said
    assert "taken over from process 1 on" in said[1].stderr


# ---- two at once, and a holder that was taken for dead ------------------------------------------


def test_of_two_that_take_over_at_once_one_succeeds(
    unlocked: Folder, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other's lease comes between the removal of the stale one and ours."""
    leave(unlocked, elsewhere(clock.wall))
    remove = Folder.remove

    def remove_and_lose(self: Folder, name: str) -> None:
        remove(self, name)
        leave(self, elsewhere(clock.wall))

    monkeypatch.setattr(Folder, "remove", remove_and_lose)
    with pytest.raises(UserError, match="process 77 on far"), held(unlocked):
        pass


def test_a_holder_that_was_taken_for_dead_stops(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT_S", 0.02)
    with held(folder) as lease:
        lease.check()
        first = on(folder)
        wait_until(lambda: on(folder).seen > first.seen)
        # More than once: a sign of life that is under way may still cover it.
        while not lease._lost:
            leave(folder, elsewhere(time.time()))
            time.sleep(0.05)
        with pytest.raises(BrokenOffError, match="taken over by process 77 on far"):
            lease.check()
    assert on(folder).id == "someone", "what is another's is not removed"


def test_a_holder_that_was_halted_looks_before_it_goes_on(folder: Folder, clock: Clock) -> None:
    with held(folder) as lease:
        leave(folder, elsewhere(clock.wall))
        lease.check()  # it is not time yet
        clock.now += STALE_S + 1
        with pytest.raises(BrokenOffError, match="taken over by process 77 on far"):
            lease.check()


def test_a_holder_whose_storage_is_silent_for_too_long_says_so(
    folder: Folder, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> bytes:
        raise UserError("no route to host")

    with held(folder) as lease:
        monkeypatch.setattr(Folder, "read", silent)
        lease.check()
        clock.now += STALE_S + 1
        with pytest.raises(BrokenOffError, match="no route to host; what is committed stays"):
            lease.check()
        monkeypatch.undo()


def test_a_holder_whose_lease_is_removed_stops_and_one_whose_lease_is_damaged_writes_it_again(
    folder: Folder,
) -> None:
    with held(folder) as lease:
        leave(folder, b"{")
        lease._beat()
        lease.check()
        assert on(folder).process == os.getpid()
        folder.remove(LEASE_FILE)
        lease._beat()
        with pytest.raises(BrokenOffError, match="removed while this ran"):
            lease.check()
    assert holder(folder) is None


def test_a_lease_that_is_damaged_while_it_is_taken_keeps_nobody_off(
    unlocked: Folder, clock: Clock
) -> None:
    leave(unlocked, elsewhere(clock.wall))

    def damaged() -> None:
        if on(unlocked).id != "someone":
            leave(unlocked, b"{")

    clock.then = damaged
    with held(unlocked) as lease:
        assert unlocked.read(LEASE_FILE) == b"{"
        lease._beat()
        assert on(unlocked).process == os.getpid()


def test_no_two_signs_of_life_are_alike_wherever_the_clock_jumps(
    folder: Folder, clock: Clock
) -> None:
    signs = set()
    with held(folder) as lease:
        for jump_s in (0.0, 0.0, -DAY_S, DAY_S, 0.0):
            clock.wall += jump_s
            lease._beat()
            signs.add(folder.read(LEASE_FILE))
    assert len(signs) == 5


def test_a_lease_belongs_to_one_run(unlocked: Folder) -> None:
    assert Lease(unlocked)._holder.id != Lease(unlocked)._holder.id


def test_a_lease_whose_last_sign_of_life_is_no_time_names_nobody(tmp_path: Path) -> None:
    whole = asdict(Holder.this())
    (tmp_path / LEASE_FILE).write_text(json.dumps({**whole, "seen": "yesterday"}))
    assert holder(Folder(tmp_path)) is None
    (tmp_path / LEASE_FILE).write_text(json.dumps(whole))
    assert holder(Folder(tmp_path)) == Holder(**whole)
