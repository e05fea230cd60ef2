"""`smp export`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from model.cli.options import chosen, of_channels
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.formats.bundle import Bundle
    from pipeline.formats.format import Format
    from pipeline.store.cache import Cache


class FormatOption(click.Option):
    """An option that finds out the formats where they are shown: they take time to load."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from pipeline.formats.format import writing

        told = [f"{name}: {_first(of.__doc__ or '')}" for name, of in writing().items()]
        self.help = f"A format, or a module of yours with one. {'; '.join(told)}."
        return super().get_help_record(ctx)


def _first(text: str) -> str:
    """Its first sentence, as it goes on after a colon."""
    return text[:1].lower() + text[1:].partition(".")[0]


def _formats(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from pipeline.formats.format import writing

    return [name for name in writing() if name.startswith(incomplete)]


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
@click.option(
    "--cache", "cache_root", default="cache", show_default=True, help="Folder or URL of the cache."
)
@click.option("--name", help="Name of the dataset in the cache.  [default: its folder's]")
def export(
    dataset: str,
    out: Path,
    format_name: str,
    tokenizer: str | None,
    cache_root: str,
    name: str | None,
    **stages: list[str] | None,
) -> None:
    """Export cached features for other tools.

    The features of DATASET are written to OUT. The stages of a modality are concatenated, as in
    training.
    """
    from pipeline.formats.bundle import atomic_output
    from pipeline.formats.format import named, writing
    from pipeline.messages import counted
    from pipeline.store.dataset_cache import open_dataset

    form = named(format_name, known := writing())
    if tokenizer and not form.takes_tokenizer:
        takers = ", ".join(name for name, its in known.items() if its.takes_tokenizer)
        raise UserError(f"--tokenizer goes with --format {takers}")
    notes: list[str] = []
    cache = open_dataset(dataset, cache_root, name)

    def read() -> Bundle:
        notes.clear()
        return _bundle(cache, _channels(cache, stages, notes), tokenizer or "", notes)

    bundle = cache.steadily(read)
    if form.needs_labels:
        bundle = _labelled(bundle, form, notes)
    with atomic_output(out) as part:
        notes += form.write(bundle, part)
    for note in notes:
        click.echo(f"note: {note}")
    for modality, x in bundle.features.items():
        click.echo(f"{modality}: {' + '.join(bundle.channels[modality])}, {x.shape[-1]} wide")
    click.echo(f"{counted(len(bundle.clips), 'clip')} → {out}")


def _channels(
    cache: Cache, given: Mapping[str, list[str] | None], notes: list[str]
) -> dict[str, list[str]]:
    """Stages by modality: those that were named, else those that a training would take."""
    from model.data.channels import available

    found = available(cache, notes, chosen(given))
    return {modality: list(stages) for modality, stages in found.items() if stages}


def _bundle(
    cache: Cache, channels: Mapping[str, Sequence[str]], tokenizer: str, notes: list[str]
) -> Bundle:
    import numpy as np

    from model.data.channels import read_modality
    from model.data.provenance import provenance, random_stages
    from pipeline.formats.bundle import Bundle
    from pipeline.weights.random_weights import random_note

    if not channels:
        raise UserError(f"{cache.name}: no features to export; run `{cache.command}` first")
    features, lengths = {}, {}
    for modality, stages in channels.items():
        x, n = read_modality([cache[stage] for stage in stages], np.ones(len(cache.clips), bool))
        if partly := int(np.isnan(x).any(axis=(1, 2)).sum()):
            notes.append(f"{modality}: {partly} clips have zeros for one of {', '.join(stages)}")
        features[modality], lengths[modality] = np.nan_to_num(x, copy=False), n
    made_from = provenance(cache, channels)
    if note := random_note(random_stages(made_from)):
        notes.append(note)
    return Bundle(
        name=cache.name,
        language=cache.table.language,
        clips=[cache.table.rows[number].clip for number in cache.table.present],
        features=features,
        lengths=lengths,
        channels=channels,
        provenance=made_from,
        by_word=all(cache[stage].by_word for stages in channels.values() for stage in stages),
        tokenizer=tokenizer,
        own_tokenizers=list(_tokenizers(cache, channels.get("text", ()))),
        targets=cache.targets,
    )


def _labelled(bundle: Bundle, form: Format, notes: list[str]) -> Bundle:
    labelled = bundle.where([form.takes(clip) for clip in bundle.clips])
    if not labelled.clips:
        raise UserError(f"{bundle.name}: no clip has a label, without which this format has none")
    if left := len(bundle.clips) - len(labelled.clips):
        notes.append(f"{left} of {len(bundle.clips)} clips have no label and are left out")
    return labelled


def _tokenizers(cache: Cache, stages: Sequence[str]) -> Iterator[str]:
    """The weights of the stages whose steps are tokens."""
    from pipeline.dag.stage import about
    from pipeline.weights.random_weights import RANDOM

    for stage in stages:
        id = (cache[stage].attributes.get("weights") or {}).get("id")
        if about(cache[stage]).panel == "tokens" and id != RANDOM:
            yield str(id)
