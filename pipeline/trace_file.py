"""A traced run as a file for chrome://tracing and ui.perfetto.dev, and as how busy it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline.trace import HELP, STAGE, Recording, Span

Event = dict[str, Any]


@dataclass(frozen=True)
class Busy:
    """What one stage, or all, had of a run: partitions, and seconds of threads and of processors.

    share: of the run's time on all cores (or threads, where these are more), the part that the
    threads were at it; at most 1.
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
    rows = {(r.host, r.process, r.thread): r for r in recordings if _tasks(r)}
    spans = [span for recording in recordings for span in _tasks(recording)]
    if not spans:
        return []
    cores = max(os.cpu_count() or 1, len(rows))
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


def _tasks(recording: Recording) -> list[Span]:
    return [span for span in recording.spans if span.category in (STAGE, HELP)]


def write_trace(path: Path, recordings: Sequence[Recording]) -> None:
    """Write the trace events: a row a thread, slices within slices, counters a process."""
    begin_ns = min(recording.samples[0].at_ns for recording in recordings)
    events = [*_names(recordings), *_slices(recordings, begin_ns), *_counters(recordings, begin_ns)]
    path.parent.mkdir(parents=True, exist_ok=True)
    trace = {"traceEvents": events, "displayTimeUnit": "ms"}
    path.write_text(json.dumps(trace, ensure_ascii=False), encoding="utf-8")


def _processes(recordings: Iterable[Recording]) -> dict[tuple[str, int], int]:
    """A number for each process, from 1: those of different hosts may have the same id."""
    found = dict.fromkeys((r.host, r.process) for r in recordings)
    return {process: number for number, process in enumerate(found, 1)}


def _names(recordings: Sequence[Recording]) -> Iterator[Event]:
    """What processes and threads are called; those of the first recording are the run's own."""
    numbers = _processes(recordings)
    threads: dict[tuple[int, int], int] = {}
    for process, number in numbers.items():
        name = "smp extract" if number == 1 else f"worker {number - 1}"
        told = f"{name} ({process[0]}, process {process[1]})"
        yield _meta("process_name", number, 0, name=told)
        yield _meta("process_sort_index", number, 0, sort_index=number)
    for recording in recordings:
        number = numbers[recording.host, recording.process]
        row = number, recording.thread
        if row not in threads:
            place = threads[row] = sum(other == number for other, _ in threads)
            is_main = recording is recordings[0]
            name = "the run" if is_main else f"tasks {place + (number > 1)}"
            yield _meta("thread_name", *row, name=name)
            yield _meta("thread_sort_index", *row, sort_index=place)


def _meta(what: str, process: int, thread: int, **about: Any) -> Event:
    return {"ph": "M", "name": what, "pid": process, "tid": thread, "args": about}


def _slices(recordings: Sequence[Recording], begin_ns: int) -> Iterator[Event]:
    numbers = _processes(recordings)
    for recording in recordings:
        row = {"pid": numbers[recording.host, recording.process], "tid": recording.thread}
        for span in recording.spans:
            yield {
                "ph": "X",
                "name": span.name,
                "cat": span.category,
                "ts": (span.begin_ns - begin_ns) / 1e3,
                "dur": span.wall_ns / 1e3,
                **row,
                "args": {**span.about, "cpu_ms": round(span.cpu_ns / 1e6, 3)},
            }


def _counters(recordings: Sequence[Recording], begin_ns: int) -> Iterator[Event]:
    """Of each process its memory and how many cores it had, at each task's begin and end."""
    for process, number in _processes(recordings).items():
        own = [r for r in recordings if (r.host, r.process) == process]
        samples = sorted((s for r in own for s in r.samples), key=lambda sample: sample.at_ns)
        for sample in samples:
            memory = {"MB": round(sample.rss_bytes / 1e6, 1)}
            yield _counter("memory", number, sample.at_ns - begin_ns, memory)
        for before, after in pairwise(samples):
            if after.at_ns - before.at_ns > SHORTEST_NS:
                cores = (after.cpu_ns - before.cpu_ns) / (after.at_ns - before.at_ns)
                yield _counter("cores", number, before.at_ns - begin_ns, {"busy": round(cores, 2)})


SHORTEST_NS = 50_000_000  # between samples that tell how many cores a process had


def _counter(name: str, process: int, at_ns: int, values: dict[str, float]) -> Event:
    return {"ph": "C", "name": name, "pid": process, "tid": 0, "ts": at_ns / 1e3, "args": values}
