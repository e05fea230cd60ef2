"""Who holds a cache: a name in it, with a sign of life now and then."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from uuid import uuid4

from pipeline.errors import BrokenOffError, UserError
from pipeline.io import strict_json
from pipeline.io.folder import Folder
from pipeline.messages import one_line, printable
from pipeline.system.periodic import every

LEASE_FILE = ".lease"
BEAT_S = 20.0  # between two signs of life
STALE_S = 120.0  # without one: the holder is gone
LOOK_EVERY_S = 2.0  # for a sign of life of another
SETTLE_S = 1.0  # for two that take over at once to see each other

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """Who holds a cache. id: of the run; machine: what a process number is unique in.

    since, seen: seconds since 1970 by the holder's clock, which nobody has to believe; seen is the
    last sign of life, and no two signs are alike.
    """

    id: str
    host: str
    machine: str
    process: int
    since: float
    seen: float

    @classmethod
    def this(cls) -> Holder:
        """A new holder, this process."""
        now = time.time()
        return cls(uuid4().hex, socket.gethostname(), _machine(), os.getpid(), now, now)

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return printable(f"process {self.process} on {self.host} since {since}")


def holder(folder: Folder) -> Holder | None:
    """Who holds the cache; None where no one does, or where it can't be read who."""
    return _holder(folder.read(LEASE_FILE))


def _holder(content: bytes | None) -> Holder | None:
    try:
        found = Holder(**strict_json.loads(content or b""))
        str(found)
    except (ValueError, TypeError, ArithmeticError, OSError):  # damaged, no date
        return None
    kinds = (found.machine, str), (found.process, int), (found.seen, int | float)
    return found if all(isinstance(value, kind) for value, kind in kinds) else None


class Lease:
    """A holder's name in the cache, with a sign of life every `BEAT_S` seconds."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._holder = Holder.this()
        self._beaten = time.monotonic()
        self._lost = ""

    def check(self, anew: bool = False) -> None:
        """Raise BrokenOffError where the cache is gone, or another run's, or may be by now.

        anew: look for it, as is done in any case where no sign of life got through for so long that
        this run may be taken for dead.
        """
        try:
            if time.monotonic() - self._beaten > STALE_S:
                self._beat()
            elif anew:
                self._is_held()
        except (OSError, UserError) as error:
            self._lost = f"{one_line(error)}; what is committed stays, fix it and run again"
        if self._lost:
            raise BrokenOffError(self._lost)

    def take(self, locked: bool) -> None:
        """Put the name in place, over that of a holder that is gone. UserError where one lives.

        locked: whether the system vouches that no other process under it has the cache.
        """
        folder, left = self._folder, self._folder.read(LEASE_FILE)
        if left is not None and not _is_gone(_holder(left), locked):
            left = _silent(folder, left)
        if left is not None:
            folder.remove(LEASE_FILE)
        taken = folder.create(LEASE_FILE, self._content())
        if left is not None and not locked:
            time.sleep(SETTLE_S)
        if not taken or not self._is_held():
            raise refusal(folder, holder(folder))

    @contextmanager
    def beating(self) -> Iterator[Lease]:
        """Give signs of life for as long as the context lasts; the name is gone afterwards."""
        try:
            with every(BEAT_S, self._beat_if_it_works):
                yield self
        finally:
            with suppress(OSError, UserError):  # it goes stale by itself
                if self._is(holder(self._folder)):
                    self._folder.remove(LEASE_FILE)

    def _beat_if_it_works(self) -> None:
        # A disk that is full or storage that does not answer is asked again.
        with suppress(OSError, UserError):
            self._beat()

    def _beat(self) -> None:
        """Give a sign of life, over damage too, but never where the name of another is."""
        if self._is_held():
            self._folder.write(LEASE_FILE, self._content())
            self._beaten = time.monotonic()

    def _is_held(self) -> bool:
        where, content = self._folder.url, self._folder.read(LEASE_FILE)
        other = _holder(content)
        if content is None:
            self._lost = f"{where} was removed while this ran, or the {LEASE_FILE} in it; run again"
        elif other is not None and not self._is(other):
            self._lost = (
                f"{where} was taken over by {other}, as this run gave no sign of life for "
                f"{STALE_S:.0f} s; what is committed stays, run again later"
            )
        return not self._lost

    def _is(self, other: Holder | None) -> bool:
        return other is not None and other.id == self._holder.id

    def _content(self) -> bytes:
        """A sign of life like none before, wherever the clock jumps."""
        seen = max(time.time(), self._holder.seen + 1e-3)
        self._holder = replace(self._holder, seen=seen)
        return json.dumps(asdict(self._holder)).encode()


def _is_gone(other: Holder | None, locked: bool) -> bool:
    """Whether a holder is certainly gone, so that there is no need to watch its lease.

    A process that is there proves nothing: its number may be another's by now.
    """
    if other is None or not other.machine:
        return False
    system, _, processes = _machine().partition("/")
    if locked and other.machine.startswith(f"{system}/"):
        return True
    return other.machine == f"{system}/{processes}" and not _is_there(other.process)


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another's, or no number of a process
        pass
    return True


def _silent(folder: Folder, left: bytes) -> bytes | None:
    """What a holder left that gives no sign of life for `STALE_S`; None where it ends meanwhile.

    Judged by this machine's clock and by whether the lease changes, whatever is in it. Raises
    UserError as soon as it does.
    """
    who = _holder(left) or "another run"
    log.warning(
        "%s is held by %s: waiting up to %.0f s for a sign of life", folder.url, who, STALE_S
    )
    began = time.monotonic()
    while True:
        time.sleep(LOOK_EVERY_S)
        waited = time.monotonic() - began  # before the look, which may take long itself
        now = folder.read(LEASE_FILE)
        if now is None:
            return None
        if now != left:
            raise refusal(folder, _holder(now))
        if waited >= STALE_S:
            log.warning("%s: taken over from %s", folder.url, who)
            return left


def _machine() -> str:
    """What process numbers are unique in: a boot of a system and, in it, a container."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # not Linux: nothing is known of other machines
        return uuid4().hex


def refusal(folder: Folder, other: Holder | None) -> UserError:
    """What a run is told that finds the cache held."""
    return UserError(
        f"{folder.url} is in use by {other or 'another run'}; wait for it, or stop it: a run that "
        f"is gone is taken over after {STALE_S:.0f} s"
    )
