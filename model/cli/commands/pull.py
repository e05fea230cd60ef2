"""`smp pull`."""

from __future__ import annotations

from pathlib import Path

import click

from model.cli.options import from_runs


@click.command()
@click.argument("where")
@from_runs
def pull(where: str, runs: Path) -> None:
    """Get a trained model that `smp push` has published.

    WHERE is a folder or a Hugging Face id. The run is checked file by file and kept among your
    runs; nothing in it is executed. Its own README.md says what it was trained on.
    """
    from model.publish.run import pull_run

    folder = pull_run(where, runs)
    click.echo(f"{where} → {folder}")
    click.echo(f"to use it: smp predict {folder} VIDEO")
