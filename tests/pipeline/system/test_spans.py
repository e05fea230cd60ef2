"""What `smp extract --trace` writes, and that a run without it records nothing."""

import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from model.cli.group import main
from pipeline.system.chrome_trace import write_trace
from pipeline.system.spans import HELP, STAGE, Recording, Sample, Span, recorded, span
from pipeline.system.threads import at_work, spread
from pipeline.system.utilisation import busy
from tests.conftest import Transcripts

S = 1_000_000_000
Events = list[dict[str, Any]]


def traced(transcripts: Transcripts, *options: object) -> tuple[Events, str]:
    """The events of a run through the command, and what it said."""
    path = Path(transcripts.cache_root).with_name("deep") / "trace.json"
    places = ("--stages", transcripts.stages_file, "--cache", transcripts.cache_root)
    command = ["extract", transcripts.folder, *places, "--trace", path, *options]
    done = CliRunner().invoke(main, [str(part) for part in command])
    assert done.exit_code == 0, done.output
    return json.loads(path.read_text())["traceEvents"], done.output


def rows(events: Events) -> dict[tuple[int, int], Events]:
    found = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            found[event["pid"], event["tid"]].append(event)
    return found


def assert_nested(slices: Events) -> None:
    """Slices of a row lie beside each other or within each other, as viewers need it."""
    open_until: list[float] = []
    for event in sorted(slices, key=lambda e: (e["ts"], -e["dur"])):
        begin, end = event["ts"], event["ts"] + event["dur"]
        while open_until and open_until[-1] <= begin + 50:  # µs: two clocks are read
            open_until.pop()
        assert all(end <= until + 50 for until in open_until)
        open_until.append(end)


@pytest.mark.parametrize(
    "options",
    [("--serial",), (), pytest.param(("--workers", 2), marks=pytest.mark.slow)],
    ids=["serial", "threads", "processes"],
)
def test_a_run_of_any_kind_leaves_a_trace_of_every_task(
    transcripts: Transcripts, options: tuple[object, ...]
) -> None:
    transcripts.texts([f"text {i}" for i in range(10)] + ["", "x"])
    events, said = traced(transcripts, *options)
    by_row = rows(events)
    stages = [(row, e) for row, slices in by_row.items() for e in slices if e["cat"] == "stage"]
    tasks = {(e["name"], e["args"]["partition"]): e["args"] for _, e in stages}
    assert len(stages) == len(tasks) == 6
    assert tasks["letters", 0]["clips"] == tasks["letters", 0]["ok"] == 4
    assert [tasks["letters", 2][state] for state in ("ok", "missing")] == [3, 1]
    for row, stage in stages:
        within = {
            e["name"]
            for e in by_row[row]
            if stage["ts"] <= e["ts"] <= stage["ts"] + stage["dur"] and e["cat"] == "step"
        }
        assert {"read", "write"} <= within
    for slices in by_row.values():
        assert_nested(slices)
    named = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    assert set(by_row) <= named
    assert {e["name"] for e in by_row[1, 1]} >= {"plan", "make stores"}
    assert min(e["ts"] for e in events if "ts" in e) >= 0
    memory = [e["args"]["MB"] for e in events if e["ph"] == "C" and e["name"] == "memory"]
    assert min(memory) > 10
    is_elsewhere = "--workers" in options
    assert all((row[0] > 1) == is_elsewhere for row, _ in stages)
    assert "letters" in said.split("of all cores")[1]


def test_nothing_is_recorded_unless_it_is_asked_for(transcripts: Transcripts) -> None:
    transcripts.texts(["one", "two"])
    done = transcripts.extract()
    assert done.recordings == ()
    assert [outcome.recordings for outcome in done.outcomes] == [(), ()]
    logged = (Path(transcripts.cache_url) / "log.jsonl").read_text()
    transcripts.texts(["one", "three"])
    assert len(transcripts.extract(traced=True).recordings) == 3
    both = [json.loads(line) for line in (Path(transcripts.cache_url) / "log.jsonl").open()]
    assert len(both) == 4
    assert {frozenset(line) for line in both} == {frozenset(json.loads(logged.splitlines()[0]))}


def test_a_trace_of_a_plan_or_of_nothing_to_do(transcripts: Transcripts) -> None:
    transcripts.texts(["one"])
    traced(transcripts)
    events, said = traced(transcripts)
    assert "Nothing to do" in said
    assert {e["name"] for e in events if e["ph"] == "X"} == {"plan", "make stores"}
    done = CliRunner().invoke(main, ["extract", "talks", "--plan", "--trace", "t.json"])
    assert done.exit_code == 2
    assert "--trace" in done.output


def test_threads_that_help_are_recorded_with_the_task_and_share_rows(tmp_path: Path) -> None:
    with recorded(True) as run:
        assert run is not None
    recordings = [run]
    for _ in range(2):
        with at_work(3), recorded(True) as task, span("faces", STAGE, partition=0):
            assert task is not None
            spread(lambda _: time.sleep(0.02), range(9))
        recordings += [task, *task.beside]
    write_trace(tmp_path / "trace.json", recordings)
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    by_row = rows(events)
    assert len(recordings) == 1 + 2 * 3
    assert len(by_row) == 1 + 2, "the run's thread did the tasks too; two rows of help"
    assert sum(e["cat"] == HELP for slices in by_row.values() for e in slices) == 4
    for slices in by_row.values():
        assert_nested(slices)
    faces, whole = busy(recordings)
    assert (faces.stage, faces.partitions, whole.stage) == ("faces", 2, "all")
    assert faces.busy_s > 2 * 9 * 0.02


def test_busy_is_a_share_of_the_time_of_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)

    def one(thread: int, *tasks: tuple[str, int, int]) -> Recording:
        spans = [Span(name, STAGE, begin * S, s * S, S, {}) for name, begin, s in tasks]
        samples = [Sample(spans[0].begin_ns, 1, 0)]
        return Recording("host", 1, thread, spans, samples, stage=tasks[-1][0])

    lines = busy([one(1, ("faces", 10, 6), ("mfcc", 16, 2)), one(2, ("bert", 12, 8))])
    assert [(line.stage, line.busy_s, line.cpu_s, line.share) for line in lines] == [
        ("faces", 6.0, 1.0, 0.3),
        ("mfcc", 2.0, 1.0, 0.1),
        ("bert", 8.0, 1.0, 0.4),
        ("all", 16.0, 3.0, 0.8),
    ]
    assert busy([]) == []
