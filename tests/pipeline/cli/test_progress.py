"""Progress counts clips, also within partitions, and is told now and then, whoever listens."""

import io
import time

from rich.console import Console

from pipeline.cli.progress import Tally, display
from pipeline.dag.plan import StagePlan
from pipeline.dag.task import Task
from pipeline.runner import under_way
from pipeline.runner.serial import run_serially
from pipeline.runner.types import Outcome
from tests.conftest import Transcripts


def test_clips_of_a_task_under_way_count_and_no_clip_counts_twice() -> None:
    under_way.forget()
    tasks = tuple(Task("faces", n, (None,) * 8, (), {}, {}, 16) for n in range(2))  # type: ignore[arg-type]
    tally = Tally([StagePlan("faces", 2, tasks, 16, ())])
    with under_way.task("faces", 0):
        tick = under_way.ticked()
        for clip in range(3):
            tick(clip)
        assert tally.done() == {"faces": 3}
        for clip in range(20):  # some were tried again
            tick(clip)
        assert tally.done() == {"faces": 8}
    tally.count(Outcome("faces", 0, 8, {"ok": 8}, 1.0))
    assert tally.done() == {"faces": 8}


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
