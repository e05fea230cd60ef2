"""`smp clean`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from pipeline.cli.options import trust
from pipeline.errors import UserError


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path), required=False)
@click.option(
    "--stages",
    "stages_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Keep the stores of this stages file. By default the one that `smp extract` uses. Can be "
    "repeated.",
)
@trust
@click.option("--cache", "cache_root", default="cache", show_default=True, help="Path or URL.")
@click.option("--name", help="The dataset's name in the cache.")
@click.option(
    "--strict",
    is_flag=True,
    help="Also remove what was extracted last, unless a stages file needs it.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed, without removing it.")
def clean(
    dataset: Path | None,
    stages_files: tuple[Path, ...],
    is_trusted: bool,
    cache_root: str,
    name: str | None,
    strict: bool,
    dry_run: bool,
) -> None:
    """Remove stores that no stages file needs any more.

    Without DATASET, all datasets in the cache are cleaned. What was extracted last and what the
    stages file needs now is kept; what `smp extract --keep-previous` kept is not.
    """
    from pipeline.dag.clean import caches, find, table_of
    from pipeline.io import lock
    from pipeline.io.folder import Folder
    from pipeline.messages import counted
    from pipeline.store.cache import locate

    if dataset is None and name:
        raise UserError("--name goes with a dataset")
    urls = [locate(dataset, cache_root, name)] if dataset else caches(cache_root)
    with ExitStack() as holds:
        for url in urls:
            table_of(url)  # to hold a cache makes its folder
            if not dry_run:
                holds.enter_context(lock.held(Folder(url)))
        # All is found before the first is removed: one fault, and everything stays.
        sweeps = [
            find(url, stages_files, _source(dataset, url), strict, is_trusted) for url in urls
        ]
        for sweep in sweeps:
            for store in sweep.unreached if dry_run else sweep.carry_out():
                size = f"{store.size_bytes / 1e6:.1f} MB"
                click.echo(f"{sweep.cache.url}/{store.stage}/{store.name}: {size} — {store.why}")
    sizes = [store.size_bytes for sweep in sweeps for store in sweep.unreached]
    found = f"{counted(len(sizes), 'store')}, {sum(sizes) / 1e6:.1f} MB"
    stay = counted(sum(sweep.kept for sweep in sweeps), "store")
    click.echo(f"{'Would remove' if dry_run else 'Removed'} {found}; kept {stay}.")


def _source(dataset: Path | None, url: str) -> Path | None:
    """Where the dataset is, None where what was named is its cache."""
    return None if dataset is None or str(dataset) == url else dataset
