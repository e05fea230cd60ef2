"""Options that several commands share."""

from __future__ import annotations

import click

trust = click.option(
    "--trust",
    "is_trusted",
    is_flag=True,
    help="Let a stages.yaml that lies beside the dataset's table name programs and modules outside "
    "this package. Only if you wrote it.",
)
