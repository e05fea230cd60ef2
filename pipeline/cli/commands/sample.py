"""`smp sample`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--clips", default=None, type=click.IntRange(48, 100_000), help="Number of clips.")
def sample(folder: Path, clips: int | None) -> None:
    """Write a small dataset of real faces to try things on.

    It is written to FOLDER, ready for `smp extract FOLDER`.
    """
    from pipeline.sample.write import write_sample

    write_sample(folder, **({} if clips is None else {"clips": clips}))
    click.echo(f"Written: {folder}; next: smp extract {folder}")
