"""`smp extract`."""

from __future__ import annotations

import json
import shlex
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.completion import stage_names
from pipeline.cli.group import CLIPS_FAILED, OK
from pipeline.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.dag.plan import StagePlan, Task
    from pipeline.runner.extract import Extraction, Observer, Started
    from pipeline.runner.stop import Stop
    from pipeline.runner.task import Engine, Outcome


MOST_NUMBERS = 5  # of partitions in one line


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--stages",
    "stages_file",
    type=click.Path(path_type=Path),
    help="The stages file; by default the dataset's own stages.yaml, else ./stages.yaml, else the "
    "package's.",
)
@click.option("--cache", "cache_root", default="cache", show_default=True, help="Path or URL.")
@click.option("--name", help="What the cache calls the dataset; by default its folder's name.")
@click.option(
    "--only",
    multiple=True,
    metavar="STAGE",
    shell_complete=stage_names,
    help="Just this stage and what it needs.",
)
@click.option("--plan", "plan_only", is_flag=True, help="Say what would run and why; run nothing.")
@click.option("--json", "as_json", is_flag=True, help="The plan as one JSON object.")
@click.option("--retry", is_flag=True, help="Run clips that failed again too.")
@click.option("--serial", is_flag=True, help="A plain loop instead of dask: the same results.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes instead of threads.")
@click.option("--scheduler", metavar="ADDRESS", help="A dask cluster that runs already.")
@click.option(
    "--trace",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write what ran when and where, for ui.perfetto.dev or chrome://tracing.",
)
def extract(
    dataset: Path,
    stages_file: Path | None,
    cache_root: str,
    name: str | None,
    only: tuple[str, ...],
    plan_only: bool,
    as_json: bool,
    retry: bool,
    serial: bool,
    workers: int | None,
    scheduler: str | None,
    trace: Path | None,
) -> None:
    """Bring the cached features of DATASET up to date: run what lacks a commit, and only that.

    DATASET is a folder with label.csv and Raw/, or a manifest (.csv, .jsonl).
    """
    if sum((serial, workers is not None, scheduler is not None)) > 1:
        raise UserError("give one of --serial, --workers and --scheduler")
    if as_json and not plan_only:
        raise UserError("--json goes with --plan")
    if trace and plan_only:
        raise UserError("--plan runs nothing that --trace could show; give one of them")
    from rich.console import Console

    from pipeline.cli.progress import display
    from pipeline.dag.stage import file_for
    from pipeline.runner.extract import extract as run
    from pipeline.runner.stop import Stop

    stages_file = stages_file or file_for(dataset)
    if plan_only:
        _show_plan(dataset, stages_file, cache_root, name, only, retry, as_json)
        return
    console, stop = Console(stderr=True), Stop()
    engine = _engine(serial, workers, scheduler, partial(console.print, soft_wrap=True))
    with display(console) as started:
        begin, traced = _announcing(console, started, stages_file), trace is not None
        done = run(dataset, stages_file, engine, cache_root, name, only, begin, retry, stop, traced)
    code = _sum_up(done)
    if trace:
        _show_trace(trace, done)
    sys.exit(_stopped(done, stop) if done.left else code)


def _announcing(console: Console, started: Started, stages_file: Path) -> Started:
    """Before its display begins: by which stages file, and what each stage has to do, and why."""

    def begin(plans: Sequence[StagePlan]) -> Observer:
        if any(plan.tasks for plan in plans):
            console.print(f"stages: {stages_file}", markup=False, highlight=False, soft_wrap=True)
        for plan in plans:
            if plan.tasks:
                console.print(str(plan), markup=False, highlight=False, soft_wrap=True)
        return started(plans)

    return begin


def _stopped(done: Extraction, stop: Stop) -> int:
    """Say how to go on; the exit code tells what stopped it: a signal, or the lack of a place."""
    again = shlex.join(["smp", *sys.argv[1:]])
    click.echo(f"Stopped: {done.left} partitions were not begun; to go on: {again}", err=True)
    return 128 + stop.signal if stop.signal else CLIPS_FAILED


def _show_plan(
    path: Path,
    stages_file: Path,
    cache_root: str,
    name: str | None,
    only: tuple[str, ...],
    retry: bool,
    as_json: bool,
) -> None:
    from pipeline import dataset
    from pipeline.cli.console import print_plan
    from pipeline.dag.plan import prepare
    from pipeline.store.cache import locate

    url = locate(path, cache_root, name)
    plan = prepare(dataset.load(path), stages_file, url, name, only, retry)
    if as_json:
        content = {"stages_file": str(stages_file), **plan.to_json()}
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        click.echo(f"stages: {stages_file}")
        print_plan(plan)


def _engine(
    serial: bool, workers: int | None, scheduler: str | None, tell: Callable[[str], object]
) -> Engine:
    from pipeline.runner.task import run_serially
    from pipeline.system.spans import span

    def engine(tasks: Sequence[Task], stop: Stop) -> Iterator[Outcome]:
        with stop.on_signals():
            if serial:
                yield from run_serially(tasks, stop)
            else:
                # dask takes a second to import: only where there is something to run.
                with span("import"):
                    from pipeline.runner.dask_engine import DaskEngine

                yield from DaskEngine(workers, scheduler, tell)(tasks, stop)

    return engine


def _show_trace(path: Path, done: Extraction) -> None:
    from pipeline.cli.console import print_busy
    from pipeline.system.chrome_trace import write_trace
    from pipeline.system.utilisation import busy

    write_trace(path, done.recordings)
    if lines := busy(done.recordings):
        print_busy(lines)
    click.echo(f"The trace is in {path}; open it with https://ui.perfetto.dev")


def _sum_up(done: Extraction) -> int:
    """Print what a run did; the exit code tells whether all of it worked."""
    from pipeline.cli.console import print_problems, print_random, print_stages
    from pipeline.messages import counted
    from pipeline.runner.log import place
    from pipeline.store.cache import open_cache
    from pipeline.store.status import status as of

    stages = [s for s in of(open_cache(done.cache_url)) if s.stage in done.stages]
    failed = sum(stage.counts["failed"] for stage in stages)
    if not done.outcomes:
        every = f"{counted(done.clips, 'clip')}, {counted(len(done.stages), 'stage')}"
        but = ", but some failed" if failed else ""
        click.echo(f"Nothing to do: {every}, all committed{but} ({done.seconds:.1f} s).")
        print_random(stages)
    else:
        seconds: dict[str, float] = defaultdict(float)
        for outcome in done.outcomes:
            seconds[outcome.stage] += outcome.seconds
        print_stages(stages, seconds)
        ran = counted(len(done.outcomes), "partition")
        click.echo(f"{ran} in {done.seconds:.1f} s → {done.cache_url}")
    print_problems(stages, done.cache_url)
    if failed:
        again = shlex.join(["smp", *sys.argv[1:]])
        again += "" if "--retry" in sys.argv else " --retry"
        click.echo(f"Failed clips are kept as they are; to run them again: {again}", err=True)
    errors = _print_errors(done)
    if any(outcome.traces for outcome in done.outcomes):
        click.echo(f"Tracebacks of what looks like a bug: {place(done.cache_url)}", err=True)
    return CLIPS_FAILED if errors or failed else OK


def _print_errors(done: Extraction) -> int:
    """Print why partitions are not there, a line for each stage and reason; how many are not."""
    from pipeline.messages import counted, folded, listed

    alike: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    errors = [outcome for outcome in done.outcomes if outcome.error]
    for outcome in errors:
        alike[outcome.stage, folded(outcome.error)].append(outcome)
    for (stage, _), some in alike.items():
        word = "partition" if len(some) == 1 else "partitions"
        numbers = listed([outcome.partition for outcome in some], MOST_NUMBERS)
        click.echo(f"{stage}, {word} {numbers}: {some[0].error}", err=True)
    if errors:
        told = f"{counted(len(errors), 'partition')} not made; fix the cause and run again."
        click.echo(told, err=True)
    return len(errors)
