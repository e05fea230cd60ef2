"""`smp doctor`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from pipeline.cli.group import CLIPS_FAILED, OK
from pipeline.cli.options import trust


@click.command()
@click.option(
    "--stages",
    "stages_file",
    type=click.Path(path_type=Path),
    help="Look for the models of this stages file. By default ./stages.yaml, else the package's.",
)
@trust
@click.option("--cache", default="cache", show_default=True, help="Check the free space here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(stages_file: Path | None, is_trusted: bool, cache: str, as_json: bool) -> None:
    """Check that this machine can run the pipeline.

    Every problem comes with a way to fix it. Exit code 1 if there is a problem; notes don't count.
    """
    from pipeline.checks.doctor import PROBLEM, checks
    from pipeline.dag.spec import file_for

    found = []
    for one in checks(file_for(None, stages_file, is_trusted), cache):
        found.append(one)
        if not as_json:
            click.echo(f"{one.state:<8} {one.name}: {one.found}")
            if one.advice:
                click.echo(f"{'':<8} → {one.advice}")
    if as_json:
        content = {"findings": [one.to_json() for one in found]}
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    sys.exit(CLIPS_FAILED if any(one.state == PROBLEM for one in found) else OK)
