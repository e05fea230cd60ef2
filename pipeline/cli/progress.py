"""The live display of a run: a bar for each stage on a terminal, else a line now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from pipeline.cli.time_left import TimeLeft
from pipeline.dag.plan import StagePlan
from pipeline.runner import under_way
from pipeline.runner.types import Listener, Outcome
from pipeline.stage.result import FAILED
from pipeline.system.periodic import LINE_EVERY_S, every

BARS_EVERY_S = 0.5


@contextmanager
def display(
    console: Console, line_every_s: float = LINE_EVERY_S, stages_file: Path | None = None
) -> Iterator[Listener]:
    """The listener that shows a run's progress, for as long as the context lasts.

    stages_file: named before anything runs, with what each stage has to do and why.
    """
    under_way.forget()
    if not console.is_terminal:
        lines = _Lines(console, stages_file)
        with every(line_every_s, lines.show):
            yield lines
        return
    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("clips  {task.fields[rate]:>12}  [red]{task.fields[failed]}[/red]"),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console) as progress:
        bars = _Bars(console, stages_file, progress)
        with every(BARS_EVERY_S, bars.show):
            yield bars


class Tally:
    """Clips done and failed of each stage, and how long the rest will take.

    Clips count when they are through, in this process; of tasks in others when all of a task is.
    """

    def __init__(self, plans: Sequence[StagePlan]) -> None:
        tasks = [task for plan in plans for task in plan.tasks]
        self.rows = {(task.stage, task.partition): len(task.rows) for task in tasks}
        self.totals = {p.stage: sum(len(task.rows) for task in p.tasks) for p in plans if p.tasks}
        self.failed = dict.fromkeys(self.totals, 0)
        self._time_left = TimeLeft(tasks)
        self._lock = threading.Lock()  # who looks has a thread of its own
        self._committed = dict.fromkeys(self.totals, 0)
        self._over: set[under_way.Key] = set()
        self._began = time.monotonic()

    def count(self, outcome: Outcome) -> None:
        """Take in what became of a task."""
        stage = outcome.stage
        self._over.add((stage, outcome.partition))
        self._committed[stage] += outcome.rows
        self.failed[stage] += outcome.rows if outcome.error else outcome.counts.get(FAILED, 0)
        with self._lock:
            self._time_left.count(outcome, self.elapsed_s)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def done(self) -> dict[str, int]:
        """How many clips of each stage are through."""
        done = dict(self._committed)
        for key, number in under_way.through().items():
            if key in self.rows and key not in self._over:
                done[key[0]] += min(number, self.rows[key])
        return done

    def left_s(self) -> float | None:
        """See `TimeLeft`; None with too little to go by."""
        with self._lock:
            return self._time_left.seconds(self.elapsed_s)


class _Display:
    """What bars and lines share: the tally, and what is told of the plan."""

    def __init__(self, console: Console, stages_file: Path | None) -> None:
        self._console = console
        self._stages_file = stages_file
        self._tally = Tally([])

    def planned(self, plans: Sequence[StagePlan]) -> None:
        due = [plan for plan in plans if plan.tasks]
        if due and self._stages_file:
            for line in (f"stages: {self._stages_file}", *map(str, due)):
                self._print(line)
        self._tally = Tally(due)

    def finished(self, outcome: Outcome) -> None:
        self._tally.count(outcome)

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class _Bars(_Display):
    def __init__(self, console: Console, stages_file: Path | None, progress: Progress) -> None:
        super().__init__(console, stages_file)
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def planned(self, plans: Sequence[StagePlan]) -> None:
        super().planned(plans)
        for stage, total in self._tally.totals.items():
            bar = self._progress.add_task(stage, total=total, rate="", failed="", left="")
            self._bars[stage] = bar

    def show(self) -> None:
        left_s = self._tally.left_s()
        left = "" if left_s is None else f"about {_minutes(left_s)} left in all"
        done = self._tally.done()
        for stage, bar in list(self._bars.items()):
            rate = done[stage] / max(self._tally.elapsed_s, 1e-9)
            failed = self._tally.failed[stage]
            self._progress.update(
                bar,
                completed=done[stage],
                rate=f"{rate:.1f} clips/s" if done[stage] else "",
                failed=f"{failed} failed" if failed else "",
                left=left if stage == next(reversed(self._bars)) else "",
            )


class _Lines(_Display):
    def finished(self, outcome: Outcome) -> None:
        super().finished(outcome)
        if outcome.error:
            self._print(f"{outcome.stage} partition {outcome.partition} failed: {outcome.error}")

    def show(self) -> None:
        tally = self._tally
        if not tally.totals:
            return
        done, left_s = tally.done(), tally.left_s()
        # Failed clips by stage: one bad clip fails in every stage that needs it.
        stages = ", ".join(
            f"{stage} {done[stage]}/{of}" + (f" ({failed} failed)" if failed else "")
            for (stage, of), failed in zip(tally.totals.items(), tally.failed.values(), strict=True)
        )
        left = "" if left_s is None else f"; about {_minutes(left_s)} left"
        self._print(f"{_minutes(tally.elapsed_s)}: {stages} clips{left}")


def _minutes(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
