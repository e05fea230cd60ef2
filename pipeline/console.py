"""Tables, and the state of an extraction, as a terminal shows them."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pipeline.prose import counted
from pipeline.status import StageStatus, problems_at_source, random_stages
from pipeline.weights import RANDOM_MARK, random_note

if TYPE_CHECKING:
    from pipeline.plan import Plan
    from pipeline.trace_file import Busy


def print_whole(table: Table) -> None:
    """Print a table, never narrower than what it holds: ids and fingerprints are to be copied."""
    console = Console(file=sys.stdout, markup=False, highlight=False)
    unlimited = console.options.update(width=1000, max_width=1000)
    console.width = max(console.width, console.measure(table, options=unlimited).maximum)
    console.print(table)


def print_stages(stages: list[StageStatus], seconds: dict[str, float] | None = None) -> None:
    """A line a stage: states, width, size; with the seconds it took where given."""
    table = Table(box=None, pad_edge=False)
    headings = ["stage", "fingerprint", "partitions", "ok", "doubtful", "missing", "failed"]
    headings += ["width", "MB"]
    for heading in [*headings, *(["seconds"] if seconds else [])]:
        table.add_column(heading, justify="left" if heading in headings[:2] else "right")
    for s in stages:
        cells = [s.marked, s.fingerprint[:8], "{}/{}".format(*s.partitions)]
        counts = s.counts["ok"], len(s.doubts), s.counts["missing"], s.counts["failed"]
        cells += map(str, counts)
        cells += [str(s.width or "–"), f"{s.size_bytes / 1e6:.1f}"]
        table.add_row(*cells, *([f"{seconds.get(s.stage, 0):.1f}"] if seconds else []))
    print_whole(table)
    print_random(stages)


def print_random(stages: Sequence[StageStatus]) -> None:
    """Which stages have random weights, where any has."""
    if note := random_note(random_stages(stages)):
        click.echo(f"{RANDOM_MARK} {note}")


def print_busy(lines: Sequence[Busy]) -> None:
    """What a traced run spent its time on, by stage."""
    table = Table(box=None, pad_edge=False)
    for heading in ("stage", "partitions", "busy s", "CPU s", "of all cores"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for line in lines:
        seconds = f"{line.busy_s:.1f}", f"{line.cpu_s:.1f}"
        table.add_row(line.stage, str(line.partitions), *seconds, f"{100 * line.share:.0f} %")
    print_whole(table)


def print_plan(plan: Plan) -> None:
    """What a run would do, a line a stage, and why."""
    if plan.changes:
        click.echo(f"clips: {', '.join(plan.changes)}")
    for stage in plan.by_stage:
        if stage.tasks:
            click.echo(str(stage))
        elif stage.why:
            why = "; ".join(stage.why)
            click.echo(f"{stage.stage}: nothing to do, these settings' store is there — {why}")
    lacking = sum(len(stage.tasks) for stage in plan.by_stage)
    there = sum(stage.partitions for stage in plan.by_stage) - lacking
    todo = f"Would run {counted(lacking, 'partition')}" if lacking else "Nothing to do"
    click.echo(f"{todo}; {counted(there, 'partition')} committed; nothing was written.")


def print_problems(stages: list[StageStatus], command: str = "smp extract") -> None:
    """Every clip with a problem or a doubt, with its reason, under the stage where it arose.

    command: what makes a damaged partition again.
    """
    by_stage: dict[str, list[str]] = defaultdict(list)
    for stage, problem in problems_at_source(stages):
        by_stage[stage].append(f"  {problem.clip}: {problem.state}, {problem.reason}")
    for s in stages:
        by_stage[s.stage] += [
            f"  partition {number}: {what}; `{command}` makes it again"
            for number, what in s.damaged.items()
        ]
        by_stage[s.stage] += [f"  {clip}: doubtful, {doubt}" for clip, doubt in s.doubts]
        by_stage[s.stage] += [f"  {clip}: note, {note}" for clip, note in s.notes]
    for stage, lines in by_stage.items():
        if lines:
            click.echo(f"{stage}:")
            click.echo("\n".join(lines))


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, gone afterwards, for what calls back with how many are done, of all."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(what, total=None)
        yield lambda done, of: progress.update(bar, completed=done, total=of)
