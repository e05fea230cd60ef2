"""Runs killed with SIGKILL while the lease of their cache is damaged in every way: who is let in.

The system's locks are taken away, as on object storage, and what a lease is watched for is
shortened. Each round damages the lease that the last, killed run left (or that a living one holds),
starts a run and kills it at a random moment. A run that is refused where nobody lives is locked
out; a finished cache has to be equal to that of an undisturbed run, byte for byte.
`python -m benchmarks.lease_faults` takes some minutes and ends with exit code 1 where one isn't.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import platform
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from pipeline.errors import BrokenOffError, UserError
from pipeline.io import lease as leases
from pipeline.io.lease import LEASE_FILE, Holder
from pipeline.system import resources
from pipeline.system.process import one_thread_a_task
from tests.conftest import Transcripts
from tests.support.crashing import differences, files_of

KILLS = 100
IN_MEMORY = Path("/dev/shm")  # where a flush takes no time
DAY_S = 24 * 3600.0
STALE_S, BEAT_S, LOOK_S = 0.6, 0.05, 0.02  # for 120, 20 and 2 s
SETTLED_S = 0.2  # until a run has made sure that the lease is its own
REFUSED, BROKEN_OFF, LOCKED_OUT = 2, 3, "locked out"
Damage = Callable[[random.Random], bytes]


def left(**changed: object) -> Damage:
    """A lease as some holder left it."""
    return lambda rng: json.dumps(asdict(replace(Holder.this(), id="other", **changed))).encode()  # type: ignore[arg-type]


LEFT: dict[str, Damage] = {
    "empty": lambda rng: b"",
    "garbled": lambda rng: rng.randbytes(rng.randint(1, 300)),
    "cut off": lambda rng: left()(rng)[: rng.randint(1, 150)],
    "of another form": lambda rng: b'{"pid": 1, "until": "tomorrow"}',
    "a day ahead": left(machine="far/1", seen=time.time() + DAY_S, since=time.time() + DAY_S),
    "a day behind": left(machine="far/1", seen=time.time() - DAY_S),
    "no date": left(machine="far/1", since=float("nan"), seen=float("inf")),
    "number reused": left(process=os.getpid()),
    "number 1": left(process=1),
}
HELD = ("empty", "garbled", "cut off")  # while a run holds it, which writes it again
AS_LEFT, REMOVED, LIVING = "as its killed holder left it", "removed while held", "of a living run"


def main() -> None:
    """Do the rounds and print a line for each kind of fault."""
    print(f"{platform.machine()}, {resources.cores()} cores, Python {platform.python_version()}")
    logging.disable()
    one_thread_a_task()  # loads what every run needs, before it is forked
    rng, began = random.Random(0), time.monotonic()
    faults, outcomes, differing, caches = Counter[str](), Counter[str](), list[str](), 0
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as name:
        os.environ["XDG_CACHE_HOME"] = f"{name}/home"
        runs = Runs(Path(name))
        while outcomes["killed"] < KILLS or sum(faults.values()) < KILLS:
            cache = f"{name}/cache{caches}"
            for _ in range(3):
                fault, outcome = runs.round(cache, rng)
                faults[fault] += 1
                outcomes.update(outcome)
            outcomes.update([LOCKED_OUT] if runs.ended(runs.start(cache)) else [])
            differing += differences(runs.whole, files_of(f"{cache}/talks"))
            caches += 1
    for what, count in (*faults.most_common(), *outcomes.most_common()):
        print(f"{what:<30}{count:>4}")
    seconds = time.monotonic() - began
    print(
        f"{caches} caches, {len(differing)} files differ, {outcomes[LOCKED_OUT]} locked out;",
        end="",
    )
    print(f" {seconds:.0f} s", *differing)
    sys.exit(bool(differing or outcomes[LOCKED_OUT]))


class Runs:
    """Runs over one small dataset, each in a process forked from this one."""

    def __init__(self, folder: Path) -> None:
        self._talks = Transcripts(folder)
        self._talks.texts([f"text number {i}" for i in range(24)])
        self._talks.stages(letters={"extractor": "tests.support.toys.letters", "pause_s": 0.05})
        began = time.monotonic()
        self.ended(self.start(f"{folder}/whole"))
        self.seconds = time.monotonic() - began
        self.whole = files_of(f"{folder}/whole/talks")

    def round(self, cache: str, rng: random.Random) -> tuple[str, list[str]]:
        """A fault and a kill; the fault and what came of it."""
        lease = Path(cache, "talks", LEASE_FILE)
        fault = rng.choice([*LEFT, *HELD, AS_LEFT, REMOVED, LIVING])
        while_held = fault in (REMOVED, LIVING) or (fault in HELD and rng.random() < 0.5)
        if not while_held and fault != AS_LEFT:
            lease.parent.mkdir(parents=True, exist_ok=True)
            lease.write_bytes(LEFT[fault](rng))
        process, second = self.start(cache), 0
        if while_held:
            self._wait_for_ours(lease, process)
            if fault == LIVING:
                second = self.ended(self.start(cache, stale_s=30))
            else:
                with suppress(FileNotFoundError):
                    lease.unlink() if fault == REMOVED else lease.write_bytes(LEFT[fault](rng))
        time.sleep(rng.uniform(0, self.seconds + (STALE_S if not while_held else 0)))
        os.kill(process, signal.SIGKILL)
        code = self.ended(process)
        if code == REFUSED:
            print(f"locked out, {fault}{' while held' * while_held}", flush=True)
        said = {-9: "killed", 0: "ended before", BROKEN_OFF: "broke off", REFUSED: LOCKED_OUT}
        return fault, [said.get(code, f"code {code}"), *["second refused"] * (second == REFUSED)]

    def _wait_for_ours(self, lease: Path, process: int) -> None:
        """Wait until the run holds the lease, or has ended."""
        while f'"process": {process},'.encode() not in _content(lease):
            if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return
            time.sleep(0.01)
        time.sleep(SETTLED_S)

    def start(self, cache: str, stale_s: float = STALE_S) -> int:
        """The process of a run that has begun."""
        process = os.fork()
        if not process:
            os._exit(self._run(cache, stale_s))
        return process

    def _run(self, cache: str, stale_s: float) -> int:
        fcntl.flock = _no_locks
        leases.STALE_S, leases.BEAT_S, leases.LOOK_EVERY_S = stale_s, BEAT_S, LOOK_S
        leases.SETTLE_S = LOOK_S
        try:
            failed = [o for o in self._talks.extract(cache_root=cache).outcomes if o.error]
            return bool(failed)
        except BrokenOffError:
            return BROKEN_OFF
        except UserError:
            return REFUSED
        except BaseException:
            traceback.print_exc()
            return 1

    def ended(self, process: int) -> int:
        """The exit code of a run, waited for; -9 where it was killed."""
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _content(path: Path) -> bytes:
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


def _no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


if __name__ == "__main__":
    main()
