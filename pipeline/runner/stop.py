"""Stopping a run: after the partitions in flight, or at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = b"\x1b[?25h"


class Stop:
    """Whether a run is to begin no further partition.

    signal: the signal that asked for it, 0 where none did.
    """

    def __init__(self) -> None:
        self.asked = False
        self.signal = 0

    def ask(self, by_signal: int = 0) -> None:
        """Begin no further partition; those in flight are finished."""
        self.asked, self.signal = True, by_signal or self.signal

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Ask at the first Ctrl-C or SIGTERM; the second ends the process at once."""
        before = {number: signal.signal(number, self._see) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _see(self, number: int, frame: FrameType | None) -> None:
        # Written past Python's buffers: the main thread may be in the middle of a print.
        if self.signal:
            os.write(2, SHOW_CURSOR * os.isatty(2) + b"\nStopped; what is committed stays.\n")
            # No clean end, which would wait for what runs: only a commit counts, and workers go
            # when this process does.
            os._exit(128 + number)
        self.ask(number)
        os.write(2, b"\nStopping when the running partitions are done; repeat to stop at once.\n")


@contextmanager
def signals_hidden() -> Iterator[None]:
    """Have threads and processes that are begun within never see SIGNALS.

    A terminal's Ctrl-C and a service manager's SIGTERM go to all processes, but whether workers may
    finish is this one's decision. They inherit the mask, as do those that dask begins later in the
    place of dead ones.
    """
    resource_tracker.ensure_running()  # which unblocks the signals where it is begun later
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
