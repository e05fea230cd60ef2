"""`python -m pipeline`: the commands from clips to cached features, without those of models."""

from __future__ import annotations

import click

from pipeline.cli import commands
from pipeline.cli.group import EXIT_CODES, Commands


@click.group(
    cls=Commands,
    packages=[commands],
    epilog=f"{EXIT_CODES} To train models, use `smp` or `python -m model`.",
    context_settings={"max_content_width": 100},
)
@click.version_option(package_name="smp-sentiment")
def main() -> None:
    """Extract features from video clips into a cache."""


if __name__ == "__main__":
    main()
