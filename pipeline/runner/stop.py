"""The wish that a run end: after the partitions in flight, or at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
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
        """Take the first Ctrl-C or SIGTERM for the wish; the second ends the process at once."""
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
        os.write(2, b"\nStopping after the partitions in flight; once more to stop at once.\n")
