"""`smp extract`."""

from __future__ import annotations

import json
import shlex
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.completion import stage_names
from pipeline.cli.group import CLIPS_FAILED, OK
from pipeline.cli.options import trust
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.dag.spec import StagesFile
    from pipeline.runner.extract import Extraction, RunOptions
    from pipeline.runner.types import Outcome

MOST_NUMBERS = 5  # of partitions in one line


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--stages",
    "stages_file",
    type=click.Path(path_type=Path),
    help="The stages file. By default the dataset's stages.yaml, else ./stages.yaml, else the "
    "package's.",
)
@trust
@click.option("--cache", "cache_root", default="cache", show_default=True, help="Path or URL.")
@click.option("--name", help="The dataset's name in the cache. By default its folder's name.")
@click.option(
    "--only",
    multiple=True,
    metavar="STAGE",
    shell_complete=stage_names,
    help="Run only this stage and the stages it needs. Can be repeated.",
)
@click.option(
    "--plan", "plan_only", is_flag=True, help="Show what would run and why, without running it."
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as one JSON object.")
@click.option("--retry", is_flag=True, help="Also run clips that failed before.")
@click.option(
    "--drop-missing/--keep-missing",
    default=None,
    help="Drop or keep the features of clips whose files are gone. By default they are kept, and "
    "nothing runs where many are gone.",
)
@click.option(
    "--keep-previous",
    is_flag=True,
    help="Keep the features that changed clips had, one generation; a clip that is put back takes "
    "its own again. `smp clean` removes them.",
)
@click.option("--adopt", is_flag=True, help="Take the cache over from another dataset.")
@click.option("--serial", is_flag=True, help="Use a plain loop instead of dask.")
@click.option(
    "--workers", type=click.IntRange(1, 1000), help="Number of worker processes, not threads."
)
@click.option("--scheduler", metavar="ADDRESS", help="Address of a running dask cluster to use.")
@click.option(
    "--trace",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write a timeline of the run, to open in ui.perfetto.dev or chrome://tracing.",
)
def extract(
    dataset: Path,
    stages_file: Path | None,
    is_trusted: bool,
    cache_root: str,
    plan_only: bool,
    as_json: bool,
    trace: Path | None,
    serial: bool,
    workers: int | None,
    scheduler: str | None,
    **given: Any,
) -> None:
    """Extract missing or outdated features of DATASET.

    DATASET is a folder with label.csv and Raw/, or a manifest (.csv, .jsonl). Features that are in
    the cache already are not computed again, and are kept where a clip's file is gone.
    """
    if as_json and not plan_only:
        raise UserError("--json goes with --plan")
    if trace and plan_only:
        raise UserError("give one of --plan and --trace: a plan runs nothing")
    from pipeline.cli.console import Terminal
    from pipeline.cli.progress import display
    from pipeline.dag.spec import file_for
    from pipeline.messages import counted
    from pipeline.runner import engines
    from pipeline.runner.extract import RunOptions
    from pipeline.runner.extract import extract as run
    from pipeline.runner.stop import Stop

    console, stop = Terminal(stderr=True), Stop()
    engine = engines.choose(serial, workers, scheduler, partial(console.print, soft_wrap=True))
    stages = file_for(dataset, stages_file, is_trusted)
    options = RunOptions(traced=trace is not None, **given)
    if plan_only:
        _print_plan(dataset, stages, cache_root, options, as_json)
        return
    engine = engines.stopped_by_signals(engine)
    with display(console, stages_file=stages.path) as listener:
        done = run(dataset, stages, engine, cache_root, options, listener, stop)
    code = _print_summary(done, options.retry)
    if trace:
        _write_trace(trace, done)
    if done.left:
        left = counted(done.left, "partition")
        click.echo(f"Stopped: {left} left to run; to continue: {_command()}", err=True)
        code = 128 + stop.signal if stop.signal else CLIPS_FAILED
    sys.exit(code)


def _print_plan(
    path: Path, stages: StagesFile, cache_root: str, options: RunOptions, as_json: bool
) -> None:
    from pipeline import dataset
    from pipeline.cli.console import print_plan
    from pipeline.dag.plan import prepare
    from pipeline.store.cache import locate

    url, clips = locate(path, cache_root, options.name), dataset.load(path)
    plan = prepare(clips, stages, url, *options.of_plan)
    if as_json:
        content = {"stages_file": str(stages), **plan.to_json()}
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        click.echo(f"stages: {stages}")
        print_plan(plan)


def _write_trace(path: Path, done: Extraction) -> None:
    from pipeline.cli.console import print_busy
    from pipeline.system.chrome_trace import write_trace
    from pipeline.system.utilisation import busy

    write_trace(path, done.recordings)
    if lines := busy(done.recordings):
        print_busy(lines)
    click.echo(f"The trace is in {path}; open it with https://ui.perfetto.dev")


def _print_summary(done: Extraction, retried: bool) -> int:
    """Print what a run did; the exit code tells whether all of it worked."""
    from pipeline.cli.console import print_problems, print_random, print_stages, print_terms
    from pipeline.messages import counted
    from pipeline.runner.log import place
    from pipeline.stage.result import FAILED
    from pipeline.store.cache import Cache
    from pipeline.store.status import stale_once
    from pipeline.store.status import status as of

    stages = [s for s in of(Cache(done.cache_url, done.table)) if s.stage in done.stages]
    stale = {clip for _, clip, _ in stale_once(stages)}
    failed = {p.clip for stage in stages for p in stage.problems if p.state == FAILED}
    if done.outcomes:
        seconds: dict[str, float] = defaultdict(float)
        for outcome in done.outcomes:
            seconds[outcome.stage] += outcome.seconds
        print_stages(stages, seconds)
        ran = counted(len(done.outcomes), "partition")
        click.echo(f"{ran} in {done.seconds:.1f} s → {done.cache_url}")
        print_terms((plan.stage, plan.terms) for plan in done.plans if plan.tasks)
    elif not done.left:
        every = f"{counted(done.clips, 'clip')}, {counted(len(done.stages), 'stage')}"
        but = ", but some failed" if failed else ""
        click.echo(f"Nothing to do: {every}, all committed{but} ({done.seconds:.1f} s).")
        print_random(stages)
    print_problems(stages, done.cache_url)
    if failed:
        again = _command() + ("" if retried else " --retry")
        click.echo(f"{counted(len(failed), 'clip')} failed; to try again: {again}", err=True)
    if stale:
        click.echo(
            f"{counted(len(stale), 'clip')} stale: features are kept though their files are gone; "
            f"restore the files, or drop the features: {_command()} --drop-missing",
            err=True,
        )
    errors = _print_errors(done)
    if any(outcome.traces for outcome in done.outcomes):
        click.echo(f"Tracebacks of unexpected errors: {place(done.cache_url)}", err=True)
    return CLIPS_FAILED if errors or failed or stale else OK


def _print_errors(done: Extraction) -> int:
    """Print why partitions failed, a line for each stage and reason; how many did."""
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
        told = f"{counted(len(errors), 'partition')} failed; fix the cause and run again."
        click.echo(told, err=True)
    return len(errors)


def _command() -> str:
    """What was typed, to be typed again."""
    return shlex.join(["smp", *sys.argv[1:]])
