"""What a thread spends its time on: spans, recorded while somebody asks for them."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

STAGE, HELP, STEP = "stage", "help", "step"


@dataclass(frozen=True)
class Span:
    """One thing that was done.

    begin_ns: since the epoch; cpu_ns: of the processor, in the thread itself. category: STAGE for a
    partition of a stage, HELP for what another thread did of it, STEP for a part of either. about:
    what else is to be known of it.
    """

    name: str
    category: str
    begin_ns: int
    wall_ns: int
    cpu_ns: int
    about: dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """A process at one moment: its memory, and all that it had of the processor up to then."""

    at_ns: int
    rss_bytes: int
    cpu_ns: int

    @classmethod
    def now(cls) -> Sample:
        """Of this process."""
        # Imported here: what records nothing does not need it.
        import psutil

        return cls(time.time_ns(), psutil.Process().memory_info().rss, time.process_time_ns())


@dataclass
class Recording:
    """The spans of one thread, a nested one before the one around it, and samples meanwhile.

    stage: what it is at; beside: what threads that helped it did.
    """

    host: str = field(default_factory=socket.gethostname)
    process: int = field(default_factory=os.getpid)
    thread: int = field(default_factory=threading.get_native_id)
    spans: list[Span] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=lambda: [Sample.now()])
    stage: str = ""
    beside: list[Recording] = field(default_factory=list)

    @property
    def begin_ns(self) -> int:
        """Since the epoch."""
        return self.samples[0].at_ns

    @property
    def end_ns(self) -> int:
        """Since the epoch."""
        return self.samples[-1].at_ns

    @property
    def is_help(self) -> bool:
        """Whether this thread was there only to help another."""
        return any(span.category == HELP for span in self.spans)


_here = threading.local()


@contextmanager
def recorded(wanted: bool) -> Iterator[Recording | None]:
    """Record the spans of this thread, if that is wanted, for as long as the context lasts."""
    if not wanted:
        yield None
        return
    before = recording()
    made = _here.recording = Recording()
    try:
        yield made
    finally:
        made.samples.append(Sample.now())
        _here.recording = before


@contextmanager
def recorded_beside(helped: Recording | None) -> Iterator[None]:
    """Record this thread too, which helps the one that is recorded there, if it is."""
    with recorded(helped is not None) as own:
        if helped is None or own is None:
            yield
            return
        helped.beside.append(own)
        with span(helped.stage, HELP):
            yield


def recording() -> Recording | None:
    """What this thread is recorded in, if it is."""
    return getattr(_here, "recording", None)


@contextmanager
def span(name: str, category: str = STEP, **about: Any) -> Iterator[dict[str, Any]]:
    """Record what is done within, where anything is recorded; gives `about`, to be added to.

    Serves as a decorator too.
    """
    to = recording()
    if to is None:
        yield about
        return
    if category == STAGE:
        to.stage = name
    begin_ns, began_ns, cpu_ns = time.time_ns(), time.perf_counter_ns(), time.thread_time_ns()
    try:
        yield about
    finally:
        wall_ns, used_ns = time.perf_counter_ns() - began_ns, time.thread_time_ns() - cpu_ns
        to.spans.append(Span(name, category, begin_ns, wall_ns, used_ns, about))
