"""How busy a traced run kept the cores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.system import resources
from pipeline.system.spans import HELP, STAGE, Recording, Span


@dataclass(frozen=True)
class Busy:
    """What one stage, or all, had of a run: partitions, and seconds of threads and of processors.

    share: of the run's time on all cores (or threads, where these are more), the part that the
    threads were at it. All shares make a little more than 1 where helpers finish their clips
    beside tasks that have begun.
    """

    stage: str
    partitions: int
    busy_s: float
    cpu_s: float
    share: float


def busy(recordings: Iterable[Recording]) -> list[Busy]:
    """How busy each stage kept the cores, and all together in the last line, ``all``.

    From the beginning of the first task to the end of the last.
    """
    threads = {(r.host, r.process, r.thread) for r in recordings if r.stage}
    spans = [s for r in recordings for s in r.spans if s.category in (STAGE, HELP)]
    if not spans:
        return []
    cores = max(resources.cores(), len(threads))
    end_ns = max(span.begin_ns + span.wall_ns for span in spans)
    whole_s = (end_ns - min(span.begin_ns for span in spans)) / 1e9 * cores
    stages = dict.fromkeys(span.name for span in spans)
    by_stage = [(stage, [span for span in spans if span.name == stage]) for stage in stages]
    return [_busy(name, some, whole_s) for name, some in [*by_stage, ("all", spans)]]


def _busy(name: str, spans: Sequence[Span], whole_s: float) -> Busy:
    busy_s = sum(span.wall_ns for span in spans) / 1e9
    cpu_s = sum(span.cpu_ns for span in spans) / 1e9
    partitions = sum(span.category == STAGE for span in spans)
    return Busy(name, partitions, busy_s, cpu_s, busy_s / whole_s)
