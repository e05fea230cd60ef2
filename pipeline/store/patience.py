"""A reader beside a running extraction: it waits a little for what is just being written."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from pipeline.errors import DamagedError, UnfinishedError, UserError
from pipeline.io.folder import Folder
from pipeline.io.lease import STALE_S, Holder, holder
from pipeline.io.waiting import WRITING_S

POLL_S = 0.05
Read = TypeVar("Read")


def patiently(cache: Folder, read: Callable[[], Read]) -> Read:
    """What `read` gives, tried again for `WRITING_S` where it fails while a run has the cache."""
    until, running = time.monotonic() + WRITING_S(), _running(cache)
    while True:
        try:
            return read()
        except (DamagedError, UnfinishedError) as error:
            if running is None:
                raise
            if time.monotonic() > until:
                raise type(error)(
                    f"{error}; the cache is being extracted right now by {running}: wait for it "
                    f"(longer than {WRITING_S():g} s with {WRITING_S.variable})"
                ) from None
        time.sleep(POLL_S)
        running = _running(cache)


def _running(cache: Folder) -> Holder | None:
    """The run that has the cache, as far as its last sign of life tells."""
    with suppress(UserError):  # of storage that does not answer just now
        found = holder(cache)
        return found if found and time.time() - found.seen < STALE_S else None
    return None
