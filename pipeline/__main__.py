"""`python -m pipeline`: the commands that go from clips to cached features, without the models'."""

from __future__ import annotations

import click

from pipeline.cli import commands
from pipeline.cli.group import EXIT_CODES, Commands


@click.group(
    cls=Commands,
    packages=[commands],
    epilog=f"{EXIT_CODES} Models are trained by `smp`, which is `python -m model` too.",
    context_settings={"max_content_width": 100},
)
@click.version_option(package_name="smp-sentiment")
def main() -> None:
    """Clips to cached features."""


if __name__ == "__main__":
    main()
