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

import psutil

from pipeline.errors import UserError
from pipeline.io.folder import Folder
from pipeline.system.periodic import every

LEASE_FILE = ".lease"
BEAT_S = 20.0  # between two signs of life
STALE_S = 120.0  # without one: the holder is gone
SETTLE_S = 1.0  # for two that take over at once to see each other

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """Who holds a cache. id: of the run; machine: what a process number is unique in.

    since, seen: seconds since 1970; seen is the last sign of life.
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
        ago = max(0.0, time.time() - self.seen)
        return (
            f"process {self.process} on {self.host} since {since} "
            f"(last sign of life {ago:.0f} s ago)"
        )


def holder(folder: Folder) -> Holder | None:
    """Who holds the cache, None where no one does."""
    content = folder.read(LEASE_FILE)
    if content is None:
        return None
    try:
        return Holder(**json.loads(content))
    except (ValueError, TypeError):
        where = f"{folder.url}/{LEASE_FILE}"
        raise UserError(f"{where} is damaged; delete it if no run uses this cache") from None


class Lease:
    """A holder's name in the cache, with a sign of life every `BEAT_S` seconds."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._holder = Holder.this()
        self._lost: str | None = None

    def check(self) -> None:
        """Raise UserError where another run took the cache over: this one was taken for dead."""
        if self._lost is not None:
            raise UserError(
                f"{self._folder.url} was taken over by {self._lost}, as this run gave no sign of "
                f"life for {STALE_S:.0f} s; what is committed stays. Run it again later"
            )

    def take(self, locked: bool) -> None:
        """Put the name in place, over that of a holder that is gone. UserError where one lives.

        locked: whether the system vouches that no other process on this machine has the cache.
        """
        folder, other = self._folder, holder(self._folder)
        if other is not None and not _is_gone(other, locked):
            raise refusal(folder, other)
        if other is not None:
            folder.remove(LEASE_FILE)
            if other.machine != self._holder.machine:
                log.warning("%s: taken over from %s", folder.url, other)
        taken = folder.create(LEASE_FILE, self._content())
        if other is not None and not locked:
            time.sleep(SETTLE_S)
        if not taken or not self._is_mine():
            raise refusal(folder, holder(folder))

    @contextmanager
    def beating(self) -> Iterator[Lease]:
        """Give signs of life for as long as the context lasts; the name is gone afterwards."""
        try:
            with every(BEAT_S, self._beat):
                yield self
        finally:
            with suppress(OSError, UserError):  # it goes stale by itself
                if self._is_mine():
                    self._folder.remove(LEASE_FILE)

    def _beat(self) -> None:
        # A disk that is full or storage that does not answer is asked again.
        with suppress(OSError, UserError):
            if self._is_mine():
                self._folder.write(LEASE_FILE, self._content())
            else:
                other = holder(self._folder) or "someone who removed its lease"
                self._lost = self._lost or str(other)

    def _is_mine(self) -> bool:
        current = holder(self._folder)
        return current is not None and current.id == self._holder.id

    def _content(self) -> bytes:
        return json.dumps(asdict(replace(self._holder, seen=time.time()))).encode()


def _is_gone(other: Holder, locked: bool) -> bool:
    if other.machine == _machine():
        return locked or not psutil.pid_exists(other.process)
    return time.time() - other.seen > STALE_S


def _machine() -> str:
    """What process numbers are unique in: a boot of a host and, in it, a container."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # not Linux
        return socket.gethostname()


def refusal(folder: Folder, other: Holder | None) -> UserError:
    """What a run is told that finds the cache held."""
    who = other or "a run that is just starting"
    return UserError(
        f"{folder.url} is in use by {who}; wait for it, or stop it: a run that is gone is taken "
        f"over after {STALE_S:.0f} s"
    )
