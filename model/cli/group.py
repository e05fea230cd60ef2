"""The `smp` command with everything in it."""

from __future__ import annotations

import click

from model.cli import commands as model_commands
from pipeline.cli import commands as pipeline_commands
from pipeline.cli.group import EXIT_CODES, Commands


@click.group(
    cls=Commands,
    packages=[pipeline_commands, model_commands],
    epilog=EXIT_CODES,
    context_settings={"max_content_width": 100},
)
@click.version_option(package_name="smp-sentiment")
def main() -> None:
    """Extract features from video clips and train multimodal sentiment models."""


if __name__ == "__main__":
    main()
