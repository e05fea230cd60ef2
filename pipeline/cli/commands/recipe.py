"""`smp recipe`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.errors import UserError
from pipeline.system import libraries

if TYPE_CHECKING:
    from pipeline.recipes.ready import Feature, Ready


@click.command()
@click.argument("action", type=click.Choice(["list", "show", "write"]), default="list")
@click.argument("name", required=False)
@click.argument("file", type=click.Path(path_type=Path), required=False)
def recipe(action: str, name: str | None, file: Path | None) -> None:
    """List, show or write ready stages files.

    mosi, mosei, sims and sims2 make published features again as nearly as public tools allow;
    `show` says what differs and why. `write` writes the stages file NAME to FILE, by default
    NAME.yaml.
    """
    from pipeline.recipes.ready import names, read

    if action == "list":
        for each in names():
            click.echo(f"{each:6} {read(each).facts.title}")
    elif name is None:
        raise UserError(f"name a recipe: {', '.join(names())}")
    elif action == "show":
        _show(read(name))
    else:
        _write(read(name), file or Path(f"{name}.yaml"))


def _show(ready: Ready) -> None:
    from rich.table import Table

    from pipeline.cli.console import Terminal

    table = Table(show_lines=True, title=ready.facts.title, title_justify="left")
    for heading in ("modality", "published", "this recipe", "what differs, and why"):
        table.add_column(heading, overflow="fold")
    for modality, feature in ready.facts.features.items():
        table.add_row(modality, _published(feature), _here(ready, feature), feature.differs)
    Terminal().print(table, highlight=False, markup=False)
    click.echo("\n".join(f"source: {source}" for source in ready.facts.sources))
    file = f"{ready.name}.yaml"
    click.echo(
        f"To use it: smp recipe write {ready.name}; smp extract DATASET --stages {file}\n"
        f"To train on it: smp train DATASET {' '.join(_options(ready))}"
    )


def _published(feature: Feature) -> str:
    if not feature.made_by:
        return "–"
    return f"{feature.width} × {feature.steps} steps: {feature.made_by}"


def _here(ready: Ready, feature: Feature) -> str:
    """Stages with their widths, and the versions of the libraries of extras that they run."""
    stages = ready.stages()
    widths = feature.here
    parts = [f"{name} {width}" for name, width in widths.items()] if len(widths) > 1 else widths
    told = [f"{sum(widths.values())} × {stages.steps} steps: {' + '.join(parts)}"]
    for name in feature.here:
        told += [_installed(*needed) for needed in stages[name].kind.requires.items()]
    return "; ".join(told)


def _installed(library: str, extra: str) -> str:
    try:
        libraries.require({library: extra})
    except UserError as error:
        return str(error)
    return f"{library} {libraries.version(library)}"


def _options(ready: Ready) -> list[str]:
    found = ready.facts.features.items()
    return [f"--{modality} {','.join(feature.here)}" for modality, feature in found]


def _write(ready: Ready, file: Path) -> None:
    from pipeline.io.atomic_write import atomic_write

    try:
        with atomic_write(file, replace=False) as part:
            part.write_text(ready.content, encoding="utf-8")
    except FileExistsError:
        raise UserError(f"{file} is there already; give another: smp recipe write "
                        f"{ready.name} FILE") from None  # fmt: skip
    click.echo(f"{file} written; now smp extract DATASET --stages {shlex.quote(str(file))}")
