"""The user-wide memory of files' digests, in which a look-up costs what it looks up."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TypeVar

from pipeline.io.atomic_write import make_folder, remove

KEPT = 1_000_000  # files, of 160 bytes each; what was learnt first is forgotten first
SAVED_AT_ONCE = 1_000  # so that a run that is killed has learnt something
PATIENCE_S = 10.0  # with another process that writes
TABLE = "CREATE TABLE IF NOT EXISTS seen (file BLOB UNIQUE, stamp TEXT, digest TEXT)"
FIND = "SELECT digest FROM seen WHERE file = ? AND stamp = ?"
ADD = "INSERT OR REPLACE INTO seen VALUES (?, ?, ?)"
FORGET = "DELETE FROM seen WHERE rowid <= (SELECT max(rowid) FROM seen) - ?"

CloseStamp = tuple[int, int, int, int]  # size, times of write and of change in ns, inode
Found = TypeVar("Found")


class DigestMemory:
    """An SQLite file for all threads and processes, which may be lost at any time.

    A damaged one is removed, and made anew by whoever comes next; one that can't be opened, read or
    written is done without. It keeps SQLite's own journal: machines that share a home on a network
    disk can't share a write-ahead log.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._learnt: dict[bytes, tuple[str, str]] = {}  # stamps and digests, saved or not
        self._unsaved: list[bytes] = []
        self._lock, self._is_usable = Lock(), True
        self._connection: sqlite3.Connection | None = None

    def get(self, name: str, stamp: CloseStamp) -> str | None:
        """The digest that was put under that name with that stamp, if any."""
        key, told = row = _key(name), str(stamp)
        if (learnt := self._learnt.get(key)) and learnt[0] == told:
            return learnt[1]
        found = self._with(lambda memory: memory.execute(FIND, row).fetchone())
        return str(found[0]) if found else None

    def put(self, name: str, stamp: CloseStamp, digest: str) -> None:
        """Remember a digest, from the next save on."""
        with self._lock:
            self._learnt[key := _key(name)] = str(stamp), digest
            self._unsaved.append(key)
            is_much = len(self._unsaved) >= SAVED_AT_ONCE
        if is_much:
            self.save()

    def save(self) -> None:
        """Keep what was learnt for other processes."""
        with self._lock:
            rows = [(key, *self._learnt[key]) for key in self._unsaved]
            self._unsaved.clear()
        if rows:
            self._with(lambda memory: _add(memory, rows))

    def close(self) -> None:
        """Save, and free the file."""
        self.save()
        with self._lock:
            self._free()

    def _with(self, act: Callable[[sqlite3.Connection], Found]) -> Found | None:
        """What `act` gives; None where the memory is of no use."""
        with self._lock:
            try:
                if self._is_usable and self._connection is None:
                    self._connection = _opened(self.path)
                return act(self._connection) if self._connection else None
            except (OSError, sqlite3.Error) as error:
                self._is_usable = False
                self._free()
                if type(error) is sqlite3.DatabaseError:  # damaged; those of its kinds are mishaps
                    self._remove()
                return None

    def _free(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def _remove(self) -> None:
        with suppress(OSError):
            for name in (f"{self.path.name}-journal", self.path.name):
                remove(self.path.with_name(name))


def _opened(path: Path) -> sqlite3.Connection:
    make_folder(path.parent)
    memory = sqlite3.connect(path, PATIENCE_S, isolation_level="IMMEDIATE", check_same_thread=False)
    memory.execute(TABLE)
    return memory


def _add(memory: sqlite3.Connection, rows: list[tuple[bytes, str, str]]) -> None:
    with memory:  # one transaction
        memory.executemany(ADD, rows)
        memory.execute(FORGET, (KEPT,))


def _key(name: str) -> bytes:
    return sha256(os.fsencode(name)).digest()[:16]
