"""Options that several commands share."""

from __future__ import annotations

import click

trust = click.option(
    "--trust",
    "is_trusted",
    is_flag=True,
    help="Let what comes with data (a stages.yaml beside a dataset's table, a run folder) name "
    "programs and modules outside this package. Only if you made it.",
)
