"""`smp report`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from model.cli.options import of_cache
from pipeline.cli.group import CLIPS_FAILED

if TYPE_CHECKING:
    from model.report.context import ReportContext
    from pipeline.store.cache import Cache


@click.command()
@click.argument("dataset")
@of_cache
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default="runs",
    show_default=True,
    help="Folder of trained models and tables.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write.  [default: RUNS/<dataset>-report.html]",
)
@click.option("--open", "show", is_flag=True, help="Open the report in the browser.")
def report(
    dataset: str, cache_root: str, name: str | None, runs: Path, output: Path | None, show: bool
) -> None:
    """Write an HTML report on a dataset and its results.

    The report covers DATASET's clips, features, trainings and comparisons. It is a single file
    that needs no network, and can be made at any time: what is not there yet is named with the
    command that makes it.

    Exit code 1 if a run or table is damaged or can't be read; it is named, and the page does
    without it.
    """
    # numpy, zarr and torch take seconds to import, which `smp --help` must not pay.
    from model.report.page import render
    from pipeline.errors import UnfinishedError
    from pipeline.html import write_page
    from pipeline.store.dataset_cache import open_dataset

    given = {"cache": (cache_root, "cache"), "name": (name, None), "runs": (str(runs), "runs")}
    options = {key: str(value) for key, (value, default) in given.items() if value != default}

    def made(opened: Cache | None) -> tuple[ReportContext, str]:
        context = _context(dataset, name, options, runs, opened)
        return context, render(context)

    try:
        opened = open_dataset(dataset, cache_root, name, partly=True)
    except UnfinishedError:
        context, page = made(None)
    else:
        context, page = opened.steadily(lambda: made(opened))
    path = write_page(page, output or runs / f"{context.name}-report.html", show)
    click.echo(f"written: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    for why in context.unreadable:
        click.echo(f"left out: {why}", err=True)
    if context.unreadable:
        sys.exit(CLIPS_FAILED)


def _context(
    dataset: str, name: str | None, options: Mapping[str, str], runs: Path, cache: Cache | None
) -> ReportContext:
    from model.experiments.folder import experiments_of
    from model.report.context import ReportContext
    from model.runs.run import runs_of
    from pipeline.dataset.load import load
    from pipeline.store.status import status

    if cache is None:
        loaded = load(dataset)
        found = ReportContext(name or loaded.name, dataset, options, loaded.language, loaded.clips)
        targets = loaded.targets
    else:
        table, stages = cache.table, status(cache)
        clips = [table.rows[number].clip for number in table.present]
        found = ReportContext(table.name, dataset, options, table.language, clips, cache, stages)
        targets = cache.targets
    trained, bad_runs = runs_of(found.name, runs)
    compared, bad_tables = experiments_of(found.name, runs)
    unreadable = [*bad_runs, *bad_tables]
    return replace(
        found, targets=targets, runs=trained, experiments=compared, unreadable=unreadable
    )
