"""`smp models`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.group import CLIPS_FAILED, OK
from pipeline.cli.options import trust
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.checks.models import Model


@click.command()
@click.argument("action", type=click.Choice(["list", "pull"]), default="list")
@click.argument("dataset", type=click.Path(path_type=Path), required=False)
@click.option(
    "--stages",
    "stages_file",
    type=click.Path(path_type=Path),
    help="The stages file. By default that of DATASET, else ./stages.yaml, else the package's.",
)
@trust
@click.option(
    "--language",
    type=click.Choice(["en", "zh"]),
    help="Language of the transcripts, for models that differ by it. By default that of DATASET, "
    "else en.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def models(
    action: str,
    dataset: Path | None,
    stages_file: Path | None,
    is_trusted: bool,
    language: str | None,
    as_json: bool,
) -> None:
    """List or download the models that extraction needs.

    Name DATASET to get the models for its stages file and language. Models come from the Hugging
    Face hub: HF_HOME says where they are kept, HF_ENDPOINT which hub to use; with HF_HUB_OFFLINE=1
    nothing is downloaded. Exit code 1 if a model could not be downloaded.
    """
    from pipeline.checks.models import needed, terms
    from pipeline.cli.console import print_terms
    from pipeline.dag.spec import Stages, file_for
    from pipeline.dataset.load import load

    given = {"--stages": stages_file, "--language": language}
    language = language or (load(dataset).language if dataset else "en")
    stages = file_for(dataset, stages_file, is_trusted)
    loaded = Stages.load(stages, language)
    found, errors = needed(loaded, ask=action == "list"), list[str]()
    if action == "pull":
        found, errors = _pulled(found)
    if as_json:
        content = {
            "stages": str(stages),
            "models": [m.to_json() for m in found],
            "terms": terms(loaded),
            "errors": errors,
        }
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        click.echo(f"stages: {stages}, language: {language}", err=True)
        _print(found)
        print_terms(terms(loaded).items())
    for error in errors:
        click.echo(f"Error: {error}", err=True)
    if action == "list" and not as_json and not all(model.is_here for model in found):
        words = [str(dataset)] if dataset else []
        words += ["--trust"] if is_trusted else []
        words += [word for name, value in given.items() if value for word in (name, str(value))]
        told = shlex.join(["smp", "models", "pull", *words])
        click.echo(f"To download what is not here: {told}")
    sys.exit(CLIPS_FAILED if errors else OK)


def _pulled(found: Sequence[Model]) -> tuple[list[Model], list[str]]:
    """Each model downloaded, the others too where one can't be."""
    from pipeline.checks.models import fetch

    pulled, errors = [], []
    for model in found:
        if not model.is_here:
            click.echo(f"downloading {model.source.id} …", err=True)
        try:
            pulled.append(fetch(model))
        except UserError as error:
            pulled.append(model)
            errors.append(str(error))
    return pulled, errors


def _print(found: Sequence[Model]) -> None:
    from rich.table import Table

    from pipeline.cli.console import print_whole

    table = Table(box=None, pad_edge=False)
    for heading in ("model", "stages", "kind", "here", "revision", "MB", "licence"):
        table.add_column(heading, justify="right" if heading == "MB" else "left")
    for m in found:
        size = "–" if m.size_bytes is None else f"{m.size_bytes / 1e6:.1f}"
        here = "in part" if m.missing else "yes" if m.is_here else "no"
        stages, revision = ", ".join(m.stages), (m.revision or "–")[:12]
        table.add_row(m.source.id, stages, m.kind, here, revision, size, m.licence)
    print_whole(table)
    for m in found:
        if m.missing:
            click.echo(f"{m.source.id} at {m.path} is missing {'; '.join(m.missing)}")
