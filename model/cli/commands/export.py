"""`smp export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from model.cli.options import chosen, from_runs, of_cache, of_channels
from pipeline.cli.options import trust
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.formats.bundle import Bundle
    from pipeline.formats.format import Format


OF_RUNS = ("onnx", "torch")  # formats of a run's network


class FormatOption(click.Option):
    """An option that finds out the formats where they are shown: they take time to load."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from pipeline.formats.format import writing

        told = [f"{name}: {_first(of.__doc__ or '')}" for name, of in writing().items()]
        told += ["onnx, torch: the network of a run"]
        self.help = f"A format, or a module of yours with one. {'; '.join(told)}."
        return super().get_help_record(ctx)


def _first(text: str) -> str:
    """Its first sentence, as it goes on after a colon."""
    return text[:1].lower() + text[1:].partition(".")[0]


def _formats(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from pipeline.formats.format import writing

    return [name for name in (*writing(), *OF_RUNS) if name.startswith(incomplete)]


@click.command()
@click.argument("dataset")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_name",
    cls=FormatOption,
    required=True,
    metavar="NAME",
    shell_complete=_formats,
)
@of_channels
@click.option("--tokenizer", help="mmsa: BERT that makes `text_bert`.  [default: the stage's]")
@of_cache
@from_runs
@trust
def export(
    dataset: str,
    out: Path,
    format_name: str,
    tokenizer: str | None,
    cache_root: str,
    name: str | None,
    runs: Path,
    is_trusted: bool,
    **stages: list[str] | None,
) -> None:
    """Export cached features, or a trained network, for other tools.

    The features of DATASET are written to OUT. The stages of a modality are concatenated, as in
    training. With --format onnx or torch, DATASET is a run, or the dataset of which the newest run
    is taken, and OUT holds its network, standardisation included.
    """
    if format_name in OF_RUNS:
        _export_run(dataset, out, format_name, runs, is_trusted)
        return
    from model.data.bundled import bundled
    from pipeline.formats.bundle import atomic_output
    from pipeline.formats.format import named, writing
    from pipeline.messages import counted
    from pipeline.store.dataset_cache import open_dataset

    form = named(format_name, known := writing())
    if tokenizer and not form.takes_tokenizer:
        takers = ", ".join(name for name, its in known.items() if its.takes_tokenizer)
        raise UserError(f"--tokenizer goes with --format {takers}")
    cache = open_dataset(dataset, cache_root, name)
    bundle, notes = cache.steadily(lambda: bundled(cache, chosen(stages), tokenizer or ""))
    if form.needs_labels:
        bundle = _labelled(bundle, form, notes)
    with atomic_output(out) as part:
        notes += form.write(bundle, part)
    for note in notes:
        click.echo(f"note: {note}")
    for modality, x in bundle.features.items():
        click.echo(f"{modality}: {' + '.join(bundle.channels[modality])}, {x.shape[-1]} wide")
    click.echo(f"{counted(len(bundle.clips), 'clip')} → {out}")


def _export_run(given: str, out: Path, form: str, runs: Path, is_trusted: bool) -> None:
    from model.exported.run import export_run
    from model.runs.run import find_run
    from pipeline.formats.bundle import atomic_output

    run = find_run(given, runs, lambda why: click.echo(f"passed over: {why}", err=True))
    with atomic_output(out) as part:
        told = export_run(run, form, part, is_trusted)
    for line in told:
        click.echo(line)
    click.echo(f"{run} → {out}")


def _labelled(bundle: Bundle, form: Format, notes: list[str]) -> Bundle:
    labelled = bundle.where([form.takes(clip) for clip in bundle.clips])
    if not labelled.clips:
        raise UserError(f"{bundle.name}: no clip has a label, without which this format has none")
    if left := len(bundle.clips) - len(labelled.clips):
        notes.append(f"{left} of {len(bundle.clips)} clips have no label and are left out")
    return labelled
