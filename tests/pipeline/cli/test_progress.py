"""Progress counts clips, also within partitions, and is told now and then, whoever listens."""

import io
import random
import time

import pytest
from rich.console import Console

from pipeline.cli.progress import Tally, display
from pipeline.dag.task import Task
from pipeline.runner import under_way
from pipeline.runner.queue import TaskQueue
from pipeline.runner.serial import run_serially
from pipeline.runner.types import Outcome
from tests.conftest import Transcripts


class Plan:
    """What a tally looks at of a stage's plan."""

    def __init__(self, stage: str, partitions: int, rows: int) -> None:
        self.stage = stage
        self.tasks = [Todo(stage, n, [None] * rows) for n in range(partitions)]


class Todo:
    def __init__(self, stage: str, partition: int, rows: list[None]) -> None:
        self.stage, self.partition, self.rows = stage, partition, rows


def outcome(stage: str, partition: int, seconds: float, **more: object) -> Outcome:
    return Outcome(stage, partition, 8, {"ok": 8}, seconds, **more)  # type: ignore[arg-type]


def test_clips_of_a_task_under_way_count_and_no_clip_counts_twice() -> None:
    under_way.forget()
    tally = Tally([Plan("faces", 2, 8)])  # type: ignore[list-item]
    with under_way.task("faces", 0):
        tick = under_way.ticked()
        for clip in range(3):
            tick(clip)
        assert tally.done() == {"faces": 3}
        for clip in range(20):  # some were tried again
            tick(clip)
        assert tally.done() == {"faces": 8}
    tally.count(outcome("faces", 0, 1.0))
    assert tally.done() == {"faces": 8}


class Clock:
    """Time that passes when it is told to."""

    now_s = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    under_way.forget()
    made = Clock()
    monkeypatch.setattr("pipeline.cli.progress.time.monotonic", lambda: made.now_s)
    return made


def test_no_time_left_is_told_before_there_is_something_to_go_by(clock: Clock) -> None:
    tally = Tally([Plan("faces", 30, 8), Plan("bert", 2, 8)])  # type: ignore[list-item]
    assert tally.left_s() is None
    clock.now_s = 1.0
    tally.count(outcome("bert", 0, 0.1))
    assert tally.left_s() is None  # nothing is known of faces
    clock.now_s = 10.0
    tally.count(outcome("faces", 0, 10.0))
    tally.count(outcome("bert", 1, 0.1))
    assert tally.left_s() is None  # a thirtieth of the work
    for partition in range(1, 15):
        clock.now_s += 10
        tally.count(outcome("faces", partition, 10.0))
    assert tally.left_s() == pytest.approx(clock.now_s, rel=0.05)  # half of it


STAGES = {"faces": 8.0, "resnet18": 3.0, "units": 15.0, "sound": 0.1, "wav2vec2": 4.0, "bert": 0.2}
NEEDS = {"resnet18": ("faces",), "units": ("faces",), "wav2vec2": ("sound",)}
LOADING_S = {"units": 6.0, "resnet18": 2.0, "wav2vec2": 3.0, "bert": 3.0}
PARTITIONS, THREADS = 24, 2


def estimates(clock: Clock, seed: int) -> list[tuple[float, float | None]]:
    """(when, what is left by the tally's estimate) at each end of a task, of a made run."""
    varied = random.Random(seed)
    tasks = [
        Task(stage, number, (None,) * 8, NEEDS.get(stage, ()), {}, {}, 0)  # type: ignore[arg-type]
        for number in range(PARTITIONS)
        for stage in STAGES
    ]
    queue, tally = TaskQueue(tasks), Tally([Plan(stage, PARTITIONS, 8) for stage in STAGES])  # type: ignore[misc]
    loading, running, told = dict(LOADING_S), list[tuple[float, float, Task]](), []
    while queue:
        while len(running) < THREADS and (task := queue.take(THREADS)):
            takes_s = STAGES[task.stage] * varied.uniform(0.6, 1.4) + loading.pop(task.stage, 0.0)
            running.append((clock.now_s + takes_s, takes_s, task))
        ended = min(running, key=lambda one: one[0])
        running.remove(ended)
        clock.now_s, takes_s, task = ended
        queue.done(task.id)
        for end_s, of_s, other in running:
            through = int(8 * max(0.0, 1 - (end_s - clock.now_s) / of_s))
            under_way._through[other.stage, other.partition] = through
        tally.count(outcome(task.stage, task.partition, takes_s))
        told.append((clock.now_s, tally.left_s()))
    return told


@pytest.mark.parametrize("seed", range(10))
def test_after_a_fifth_of_a_run_what_is_left_is_told_within_30_percent(
    clock: Clock, seed: int
) -> None:
    told = estimates(clock, seed)
    assert all(left is None for when, left in told if when < clock.now_s / 20)
    for when, left in told:
        if clock.now_s / 5 <= when <= clock.now_s * 0.8:
            assert left == pytest.approx(clock.now_s - when, rel=0.3)


def lines_of(transcripts: Transcripts, line_every_s: float, clips: int) -> list[str]:
    transcripts.texts(["!slow"] * clips)
    said = io.StringIO()
    with display(Console(file=said, width=200), line_every_s) as listener:
        transcripts.extract(run_serially, listener=listener)
    return said.getvalue().splitlines()


def test_a_line_is_told_now_and_then_while_one_partition_runs(transcripts: Transcripts) -> None:
    transcripts.stages(
        16, letters={"extractor": "tests.support.toys.letters", "calls": str(transcripts.calls)}
    )
    lines = lines_of(transcripts, 0.1, 8)
    counts = [line.split("letters ")[1].split("/8")[0] for line in lines]
    assert len(set(counts)) > 2, lines
    assert counts == sorted(counts)
    assert "doubled 0/8 clips" in lines[0]


def test_a_short_run_says_nothing(transcripts: Transcripts) -> None:
    assert lines_of(transcripts, 10.0, 1) == []


def test_a_terminal_has_a_bar(transcripts: Transcripts) -> None:
    transcripts.texts(["one", "two"])
    said = io.StringIO()
    console = Console(file=said, force_terminal=True, width=120)
    with display(console) as listener:
        begun = time.monotonic()
        transcripts.extract(listener=listener)
        assert time.monotonic() - begun < 30
    assert "letters" in said.getvalue()
    assert "clips" in said.getvalue()
