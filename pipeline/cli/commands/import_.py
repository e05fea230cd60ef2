"""`smp import`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from click.core import ParameterSource

from pipeline.cli.group import CLIPS_FAILED, OK, Names

if TYPE_CHECKING:
    from pipeline.formats.feature_set import FeatureSet


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--cache", "cache_root", default="cache", show_default=True, help="Path or URL.")
@click.option("--name", help="Name in the cache. By default that of the file or folder.")
@click.option(
    "--sampling",
    type=click.Choice(["uniform", "mean"]),
    default="uniform",
    show_default=True,
    help="How to reduce longer sequences to 32 steps.",
)
@click.option(
    "--visual", type=Names(), help="MERBench: folders with visual features, as in resnet,clip."
)
@click.option("--audio", type=Names(), help="MERBench: folders with audio features.")
@click.option("--text", type=Names(), help="MERBench: folders with text features.")
@click.option(
    "--language",
    type=click.Choice(["zh", "en"]),
    help="MERBench: language of the transcripts. By default Chinese, if there are any in Chinese.",
)
@click.option(
    "--format",
    "format_name",
    metavar="NAME",
    help="A format, or a module of yours with one. By default the first that PATH looks like.",
)
def import_(
    path: Path,
    cache_root: str,
    name: str | None,
    sampling: Literal["uniform", "mean"],
    visual: list[str] | None,
    audio: list[str] | None,
    text: list[str] | None,
    language: str | None,
    format_name: str | None,
) -> None:
    """Import another tool's features for training.

    PATH is a pickle from MMSA or from MulT, MISA or MMIM, aligned or not, or a folder in MERBench's
    layout: label.npz, transcription-engchi-polish.csv and features/. Nothing that a pickle names is
    executed. Train on the features by their name in the cache, or by PATH. A targets.yaml beside
    PATH, or in it, says what its labels are.
    """
    from pipeline.cli.console import print_problems, print_stages
    from pipeline.dataset.layouts import name_of
    from pipeline.formats.import_cache import make_cache
    from pipeline.messages import counted
    from pipeline.store.cache import locate, open_cache
    from pipeline.store.status import status

    given = {"visual": visual or (), "audio": audio or (), "text": text or ()}
    source = _source(path, format_name, given, language)
    url, command = locate(path, cache_root, name), _command()
    made, partitions = make_cache(source, url, name or name_of(path), sampling, command)
    stages = status(open_cache(url))
    print_stages(stages)
    print_problems(stages, url, command)
    for note in source.notes:
        click.echo(f"note: {note}")
    done = f"{made} of {partitions} partitions written" if made else "Nothing to do"
    click.echo(f"{done}: {counted(len(source.clips), 'clip')}, {source.format} → {url}")
    sys.exit(CLIPS_FAILED if any(stage.counts["failed"] for stage in stages) else OK)


def _source(
    path: Path,
    format_name: str | None,
    given: Mapping[str, Sequence[str]],
    language: str | None,
) -> FeatureSet:
    from pipeline.formats.format import named, reading

    known = reading()
    if format_name:
        return named(format_name, known).read(path, given, language).with_targets()
    own = (kind() for kind in known.values())
    form = next(one for one in own if one.reads(path))
    return form.read(path, given, language).with_targets()


def _command() -> str:
    """What was typed, for those who have to type it again."""
    context = click.get_current_context()
    words = ["smp", "import"]
    for parameter in context.command.params:
        name = str(parameter.name)
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            value, is_option = context.params[name], isinstance(parameter, click.Option)
            typed = ",".join(value) if isinstance(value, list) else str(value)
            words += [*parameter.opts[:is_option], typed]
    return shlex.join(words)
