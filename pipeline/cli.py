"""The commands that make features: `smp sample`, `smp extract`, `smp status`."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.extract import Extraction
    from pipeline.run import Engine
    from pipeline.status import StageStatus

OK, CLIPS_FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130
EPILOG = "Exit codes: 0 all done, 1 finished but something failed, 2 bad usage or settings."


class Commands(click.Group):
    """A group whose commands tell a user's error in one line and leave bugs their traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(BAD_USAGE)
        except KeyboardInterrupt:
            click.echo("Stopped; what is committed stays. Run it again to go on.", err=True)
            sys.exit(INTERRUPTED)


@click.group(cls=Commands, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.version_option(package_name="smp-sentiment")
def main() -> None:
    """Clips to cached features to trained multimodal sentiment models."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--clips", default=None, type=click.IntRange(min=48), help="How many.")
def sample(folder: Path, clips: int | None) -> None:
    """Write a small dataset of real faces, ready for `smp extract`, to FOLDER."""
    from pipeline.sample import write_sample

    write_sample(folder, **({} if clips is None else {"clips": clips}))
    click.echo(f"wrote {folder}; next: smp extract {folder}")


@main.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--stages",
    "stages_file",
    type=click.Path(path_type=Path),
    help="The stages file; by default the dataset's own stages.yaml, else ./stages.yaml.",
)
@click.option("--cache", "cache_root", default="cache", show_default=True, help="Path or URL.")
@click.option("--name", help="What the cache calls the dataset; by default its folder's name.")
@click.option("--only", multiple=True, metavar="STAGE", help="Just this stage and what it needs.")
@click.option("--serial", is_flag=True, help="A plain loop instead of dask: the same results.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes instead of threads.")
@click.option("--scheduler", metavar="ADDRESS", help="A dask cluster that runs already.")
def extract(
    dataset: Path,
    stages_file: Path | None,
    cache_root: str,
    name: str | None,
    only: tuple[str, ...],
    serial: bool,
    workers: int | None,
    scheduler: str | None,
) -> None:
    """Bring the cached features of DATASET up to date: run what lacks a commit, and only that.

    DATASET is a folder with label.csv and Raw/, or a manifest (.csv, .jsonl).
    """
    if sum((serial, workers is not None, scheduler is not None)) > 1:
        raise UserError("give one of --serial, --workers and --scheduler")
    from rich.console import Console

    from pipeline.extract import extract as run
    from pipeline.progress import display

    console = Console(stderr=True)
    with display(console) as started:
        done = run(
            dataset,
            stages_file or _stages_file(dataset),
            _engine(serial, workers, scheduler),
            cache_root,
            name,
            only,
            started,
        )
    sys.exit(_sum_up(done))


@main.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--cache", "cache_root", default="cache", show_default=True, help="Path or URL.")
@click.option("--name", help="What the cache calls the dataset.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(dataset: Path, cache_root: str, name: str | None, as_json: bool) -> None:
    """How far the extraction of DATASET is, and what is wrong with which clip."""
    from pipeline.cache import locate, open_cache
    from pipeline.status import status as of

    stages = of(open_cache(locate(dataset, cache_root, name)))
    if as_json:
        content = {"stages": {stage.stage: stage.to_json() for stage in stages}}
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    _print_stages(stages)
    _print_problems(stages)


def _stages_file(dataset: Path) -> Path:
    from pipeline.stages import DEFAULT_FILE

    own = dataset / "stages.yaml"
    here = Path("stages.yaml")
    return next((p for p in (own, here) if p.is_file()), DEFAULT_FILE)


def _engine(serial: bool, workers: int | None, scheduler: str | None) -> Engine:
    from pipeline.run import run_serially

    if serial:
        return run_serially

    def on_dask(tasks: Any) -> Any:
        # dask takes a second to import: only where there is something to run.
        from pipeline.cluster import DaskEngine

        return DaskEngine(workers, scheduler)(tasks)

    return on_dask


def _sum_up(done: Extraction) -> int:
    """Print what a run did; the exit code tells whether all of it worked."""
    from pipeline.cache import open_cache
    from pipeline.status import status as of

    stages = [s for s in of(open_cache(done.cache_url)) if s.stage in done.stages]
    if not done.outcomes:
        every = f"{done.clips} clips, {len(done.stages)} stages"
        click.echo(f"Nothing to do: {every}, all committed ({done.seconds:.1f} s).")
    else:
        seconds: dict[str, float] = defaultdict(float)
        for outcome in done.outcomes:
            seconds[outcome.stage] += outcome.seconds
        _print_stages(stages, seconds)
        click.echo(f"{len(done.outcomes)} partitions in {done.seconds:.1f} s → {done.cache_url}")
    _print_problems(stages)
    errors = [outcome for outcome in done.outcomes if outcome.error]
    for outcome in errors:
        click.echo(f"{outcome.stage}, partition {outcome.partition}: {outcome.error}", err=True)
    if errors:
        click.echo(f"{len(errors)} partitions lack; mend the cause and run again.", err=True)
    failed = any(stage.counts["failed"] for stage in stages)
    return CLIPS_FAILED if errors or failed else OK


def _print_stages(stages: list[StageStatus], seconds: dict[str, float] | None = None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    headings = ["stage", "fingerprint", "partitions", "ok", "missing", "failed", "width", "MB"]
    for heading in [*headings, *(["seconds"] if seconds else [])]:
        table.add_column(heading, justify="left" if heading in headings[:2] else "right")
    for s in stages:
        cells = [s.stage, s.fingerprint[:8], "{}/{}".format(*s.partitions)]
        cells += [str(s.counts[state]) for state in ("ok", "missing", "failed")]
        cells += [str(s.width or "–"), f"{s.size_bytes / 1e6:.1f}"]
        table.add_row(*cells, *([f"{seconds.get(s.stage, 0):.1f}"] if seconds else []))
    Console().print(table)


def _print_problems(stages: list[StageStatus]) -> None:
    """Every clip with a problem, with its reason, under the stage where it arose."""
    from pipeline.status import problems_at_source

    by_stage: dict[str, list[str]] = defaultdict(list)
    for stage, problem in problems_at_source(stages):
        by_stage[stage].append(f"  {problem.clip}: {problem.state}, {problem.reason}")
    for s in stages:
        by_stage[s.stage] += [f"  {clip}: note, {note}" for clip, note in s.notes]
    for stage, lines in by_stage.items():
        if lines:
            click.echo(f"{stage}:")
            click.echo("\n".join(lines))
