"""Tables, plans and problems as a terminal shows them."""

from __future__ import annotations

import shlex
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Progress
from rich.segment import Segment
from rich.table import Table

from pipeline.cli.streams import undisguised
from pipeline.messages import Group, counted, grouped, printable
from pipeline.stage.result import DOUBTFUL, FAILED, MISSING, STALE
from pipeline.store.status import (
    Problem,
    StageStatus,
    problems_at_source,
    random_stages,
    stale_once,
)
from pipeline.system.periodic import LINE_EVERY_S, every
from pipeline.weights.random_weights import RANDOM_MARK, random_note

if TYPE_CHECKING:
    from pipeline.dag.plan import Plan
    from pipeline.system.utilisation import Busy

MOST_LINES = 20  # of one stage's problems


class Terminal(Console):
    """What a terminal shows, drawn with its own control sequences and nobody else's."""

    def __init__(self, stderr: bool = False, **options: Any) -> None:
        super().__init__(file=undisguised(sys.stderr if stderr else sys.stdout), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            if not segment.control:
                style = None if segment.style and segment.style.link else segment.style
                segment = Segment(printable(segment.text, in_lines=True), style)
            yield segment


def print_whole(table: Table) -> None:
    """Print a table, never narrower than what it holds: ids and fingerprints are to be copied."""
    console = Terminal(markup=False, highlight=False)
    unlimited = console.options.update(width=1000, max_width=1000)
    console.width = max(console.width, console.measure(table, options=unlimited).maximum)
    console.print(table)


def print_stages(stages: list[StageStatus], seconds: dict[str, float] | None = None) -> None:
    """A line for each stage: states, width, size; with the seconds it took where given."""
    table = Table(box=None, pad_edge=False)
    headings = ["stage", "fingerprint", "partitions", "ok", "doubtful", "missing", "failed"]
    any_stale = any(s.stale for s in stages)
    headings += [*([STALE] if any_stale else []), "width", "MB"]
    for heading in [*headings, *(["seconds"] if seconds else [])]:
        table.add_column(heading, justify="left" if heading in headings[:2] else "right")
    for s in stages:
        cells = [s.marked, s.fingerprint[:8], "{}/{}".format(*s.partitions)]
        counts = s.counts["ok"], len(s.doubts), s.counts["missing"], s.counts["failed"]
        cells += map(str, (*counts, *([len(s.stale)] if any_stale else [])))
        cells += [str(s.width or "–"), f"{s.size_bytes / 1e6:.1f}"]
        table.add_row(*cells, *([f"{seconds.get(s.stage, 0):.1f}"] if seconds else []))
    print_whole(table)
    print_random(stages)
    if partitions := sum(s.previous[0] for s in stages):
        size = f"{sum(s.previous[1] for s in stages) / 1e6:.1f} MB"
        kept = f"{counted(partitions, 'partition')}, {size}"
        click.echo(f"Earlier features of changed clips: {kept}; `smp clean` removes them.")


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


def print_terms(terms: Iterable[tuple[str, str]]) -> None:
    """By stage, the terms of a library that it runs, where there are any to mind."""
    for stage, told in terms:
        if told:
            click.echo(f"stage {stage}: {told}")


def print_devices(settings: Iterable[str], err: bool = False) -> None:
    """What is computed on, by settings of devices, where it is no processor."""
    # torch is heavy, and whoever asks for help does without it.
    from pipeline.system.device import described

    for device in dict.fromkeys(map(described, settings)):
        if device != "cpu":
            click.echo(f"device: {device}", err=err)


def print_plan(plan: Plan) -> None:
    """What a run would do and why, a line for each stage."""
    if plan.changes:
        click.echo(f"clips: {', '.join(plan.changes)}")
    for stage in plan.by_stage:
        if stage.tasks:
            click.echo(str(stage))
        elif stage.why:
            extracted = "nothing to do, extracted with these settings before"
            click.echo(f"{stage.stage}: {extracted} — {'; '.join(stage.why)}")
    print_terms((stage.stage, stage.terms) for stage in plan.by_stage if stage.tasks)
    due = len(plan.tasks)
    there = sum(stage.partitions for stage in plan.by_stage) - due
    todo = f"Would run {counted(due, 'partition')}" if due else "Nothing to do"
    click.echo(f"{todo}; {counted(there, 'partition')} committed; nothing was written.")


def print_problems(
    stages: list[StageStatus], url: str, command: str = "smp extract", all_of_them: bool = False
) -> None:
    """What is wrong under the stage where it arose: reasons with their clips, in MOST_LINES lines.

    url: of the cache; command: what makes a damaged partition again. all_of_them: a line for each
    clip with a problem, a doubt or a note, and no end.
    """
    at_source: dict[str, list[Problem]] = defaultdict(list)
    for stage, problem in problems_at_source(stages):
        at_source[stage].append(problem)
    stale: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for stage, clip, why in stale_once(stages):
        stale[stage].append((clip, why))
    is_short = False
    for s in stages:
        each = _problem_lines(s, at_source[s.stage], stale[s.stage], command, all_of_them)
        shown = each if all_of_them else each[:MOST_LINES]
        if shown:
            click.echo(f"{s.stage}:")
            click.echo("\n".join(f"  {line}" for line in shown))
        if more := len(each) - len(shown):
            click.echo(f"  … and {counted(more, 'more line')}")
        told = len(at_source[s.stage]) + len(s.damaged) + len(s.doubts) + len(s.notes)
        told += len(stale[s.stage])
        is_short |= len(shown) < told
    if is_short:
        click.echo(f"All clips with their reasons: {shlex.join(['smp', 'status', url, '--all'])}")


def _problem_lines(
    stage: StageStatus,
    problems: Sequence[Problem],
    stale: Sequence[tuple[str, str]],
    command: str,
    each: bool,
) -> list[str]:
    """What failed, is missing, damaged or stale, doubts, notes: in the order of weight."""
    by_state = {
        state: [(problem.clip, problem.reason) for problem in problems if problem.state == state]
        for state in (FAILED, MISSING)
    }
    damaged = [
        f"partition {number}: {what}; to make it again, run `{command}`"
        for number, what in stage.damaged.items()
    ]
    told = (*by_state.items(), (STALE, stale), (DOUBTFUL, stage.doubts), ("note", stage.notes))
    failed, missing, *others = (
        [Group(reason, (clip,)).line(state) for clip, reason in reasons]
        if each
        else [group.line(state) for group in grouped(reasons)]
        for state, reasons in told
    )
    return [*failed, *missing, *damaged, *(line for lines in others for line in lines)]


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """What is called with how many are done, of all: a bar on a terminal, gone afterwards.

    Elsewhere a line every LINE_EVERY_S.
    """
    console = Terminal(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(what, total=None)

        def show() -> None:
            task = progress.tasks[bar]
            if not console.is_terminal and task.total:
                console.print(f"{task.completed:.0f} of {task.total:.0f} {what}", highlight=False)

        with every(LINE_EVERY_S, show):
            yield lambda done, of: progress.update(bar, completed=done, total=of)
