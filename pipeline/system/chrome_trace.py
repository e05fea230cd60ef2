"""A traced run as a file for chrome://tracing and ui.perfetto.dev."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline.system.spans import Recording, Sample, Span

FIRST_HELP = 1000  # the number of the first row of threads that help
SHORTEST_NS = 50_000_000  # between samples that tell how many cores a process had

Event = dict[str, Any]
Row = tuple[int, int]


def write_trace(path: Path, recordings: Sequence[Recording]) -> None:
    """Write the trace events: a row a thread, slices within slices, counters a process."""
    begin_ns = min(recording.begin_ns for recording in recordings)
    rows = _rows(recordings)
    events = [*_names(recordings, rows)]
    for recording, row in zip(recordings, rows, strict=True):
        events += (_slice(span, row, begin_ns) for span in recording.spans)
    events += _counters(recordings, rows, begin_ns)
    path.parent.mkdir(parents=True, exist_ok=True)
    trace = {"traceEvents": events, "displayTimeUnit": "ms"}
    path.write_text(json.dumps(trace, ensure_ascii=False), encoding="utf-8")


def _rows(recordings: Sequence[Recording]) -> list[Row]:
    """Where each recording is shown: the number of its process and that of a row in it.

    Processes count from 1, as those of different hosts may have the same id. Threads that help
    come and go; they share rows, below those of the threads that run tasks.
    """
    processes: dict[tuple[str, int], int] = {}
    threads: dict[tuple[int, int], int] = {}
    rows: dict[int, Row] = {}
    for number, recording in enumerate(recordings):
        process = processes.setdefault((recording.host, recording.process), len(processes) + 1)
        known = sum(of == process for of, _ in threads)
        if recording.is_help:
            rows[number] = process, FIRST_HELP
        else:
            rows[number] = process, threads.setdefault((process, recording.thread), known + 1)
    until_ns: dict[Row, int] = defaultdict(int)
    helps = [number for number, recording in enumerate(recordings) if recording.is_help]
    for number in sorted(helps, key=lambda number: recordings[number].begin_ns):
        while until_ns[rows[number]] > recordings[number].begin_ns:
            rows[number] = rows[number][0], rows[number][1] + 1
        until_ns[rows[number]] = recordings[number].end_ns
    return [rows[number] for number in range(len(recordings))]


def _names(recordings: Sequence[Recording], rows: Sequence[Row]) -> Iterator[Event]:
    """What processes and rows are called; the first is the run's own."""
    for (process, number), recording in dict(zip(rows, recordings, strict=True)).items():
        name = "smp extract" if process == 1 else f"worker {process - 1}"
        told = f"{name} ({recording.host}, process {recording.process})"
        yield _meta("process_name", process, number, name=told)
        yield _meta("process_sort_index", process, number, sort_index=process)
        row = f"help {number - FIRST_HELP + 1}" if recording.is_help else f"thread {number}"
        is_main = (process, number) == rows[0]
        yield _meta("thread_name", process, number, name="the run" if is_main else row)
        yield _meta("thread_sort_index", process, number, sort_index=number)


def _meta(what: str, process: int, thread: int, **about: Any) -> Event:
    return {"ph": "M", "name": what, "pid": process, "tid": thread, "args": about}


def _slice(span: Span, row: Row, begin_ns: int) -> Event:
    return {
        "ph": "X",
        "name": span.name,
        "cat": span.category,
        "ts": (span.begin_ns - begin_ns) / 1e3,
        "dur": span.wall_ns / 1e3,
        "pid": row[0],
        "tid": row[1],
        "args": {**span.about, "cpu_ms": round(span.cpu_ns / 1e6, 3)},
    }


def _counters(
    recordings: Sequence[Recording], rows: Sequence[Row], begin_ns: int
) -> Iterator[Event]:
    """Of each process its memory and how many cores it had, at each task's begin and end."""
    by_process: dict[int, list[Sample]] = defaultdict(list)
    for recording, (process, _) in zip(recordings, rows, strict=True):
        by_process[process] += recording.samples
    for process, samples in by_process.items():
        samples.sort(key=lambda sample: sample.at_ns)
        for sample in samples:
            memory = {"MB": round(sample.rss_bytes / 1e6, 1)}
            yield _counter("memory", process, sample.at_ns - begin_ns, memory)
        for before, after in pairwise(samples):
            if after.at_ns - before.at_ns > SHORTEST_NS:
                cores = (after.cpu_ns - before.cpu_ns) / (after.at_ns - before.at_ns)
                at_ns = before.at_ns - begin_ns
                yield _counter("cores", process, at_ns, {"busy": round(cores, 2)})


def _counter(name: str, process: int, at_ns: int, values: dict[str, float]) -> Event:
    return {"ph": "C", "name": name, "pid": process, "tid": 0, "ts": at_ns / 1e3, "args": values}
