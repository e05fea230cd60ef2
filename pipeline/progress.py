"""The live display of a run: a bar a stage on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from pipeline.extractor import FAILED
from pipeline.plan import StagePlan
from pipeline.run import Outcome

PLAIN_EVERY_S = 5.0
Start = Callable[[Sequence[StagePlan]], Callable[[Outcome], None]]


@contextmanager
def display(console: Console) -> Iterator[Start]:
    """What `extract` is given to show its progress with, for as long as the context lasts."""
    if not console.is_terminal:
        yield lambda plans: _Lines(console, plans).see
        return
    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("clips  {task.fields[rate]:>12}  [red]{task.fields[failed]}[/red]"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield lambda plans: _Bars(progress, plans).see


class _Tally:
    """Clips done and failed of each stage, and how fast."""

    def __init__(self, plans: Sequence[StagePlan]) -> None:
        self.totals = {p.stage: sum(len(task.rows) for task in p.tasks) for p in plans if p.tasks}
        self.done = dict.fromkeys(self.totals, 0)
        self.failed = dict.fromkeys(self.totals, 0)
        self.since: dict[str, float] = {}
        self.began = time.monotonic()

    def count(self, outcome: Outcome) -> None:
        stage = outcome.stage
        self.since.setdefault(stage, time.monotonic() - outcome.seconds)
        self.done[stage] += outcome.rows
        self.failed[stage] += outcome.rows if outcome.error else outcome.counts.get(FAILED, 0)

    def rate(self, stage: str) -> float:
        return self.done[stage] / max(1e-9, time.monotonic() - self.since[stage])


class _Bars:
    def __init__(self, progress: Progress, plans: Sequence[StagePlan]) -> None:
        self._tally = _Tally(plans)
        self._progress = progress
        self._bars: dict[str, TaskID] = {
            stage: progress.add_task(stage, total=total, rate="", failed="")
            for stage, total in self._tally.totals.items()
        }

    def see(self, outcome: Outcome) -> None:
        tally, stage = self._tally, outcome.stage
        tally.count(outcome)
        failed = f"{tally.failed[stage]} failed" if tally.failed[stage] else ""
        self._progress.update(
            self._bars[stage],
            completed=tally.done[stage],
            rate=f"{tally.rate(stage):.1f} clips/s",
            failed=failed,
        )


class _Lines:
    def __init__(self, console: Console, plans: Sequence[StagePlan]) -> None:
        self._tally = _Tally(plans)
        self._console = console
        self._last = time.monotonic()

    def see(self, outcome: Outcome) -> None:
        tally = self._tally
        tally.count(outcome)
        done, total = sum(tally.done.values()), sum(tally.totals.values())
        now = time.monotonic()
        if outcome.error:
            where = f"{outcome.stage} partition {outcome.partition}"
            self._console.print(f"{where} failed: {outcome.error}", markup=False, highlight=False)
        elif now - self._last >= PLAIN_EVERY_S or done == total:
            self._last = now
            elapsed = now - tally.began
            stages = " ".join(f"{s} {tally.done[s]}/{n}" for s, n in tally.totals.items())
            failed = sum(tally.failed.values())
            left = elapsed * (total - done) / max(1, done)
            self._console.print(
                f"{elapsed:.0f} s: {stages}; {failed} failed; about {left:.0f} s left",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
