"""One run a cache: the second is refused and told who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import UserError
from pipeline.files import Folder

FILE = ".lock"


@contextmanager
def held(folder: Folder) -> Iterator[None]:
    """Hold a local cache for this process; the system lets go of it should the process die.

    A cache on object storage is not locked.
    """
    if folder.path is None:
        yield
        return
    folder.path.mkdir(parents=True, exist_ok=True)
    with open(folder.path / FILE, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"{folder.url} is in use by {_holder(file.read())}; wait for it"
            ) from None
        file.truncate(0)
        file.write(json.dumps({"host": socket.gethostname(), "process": os.getpid()}))
        file.flush()
        yield


def _holder(content: str) -> str:
    try:
        holder = json.loads(content)
        return f"process {holder['process']} on {holder['host']}"
    except (ValueError, KeyError, TypeError):
        return "another run"
