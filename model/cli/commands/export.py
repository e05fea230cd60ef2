"""`smp export`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from model.cli.options import chosen, of_channels
from pipeline.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from pipeline.formats.bundle import Bundle
    from pipeline.store.cache import Cache

FORMATS = ("mmsa", "merbench", "safetensors", "parquet")
LABELLED = ("mmsa", "merbench")  # the formats that have no way to say that a label is not known


@click.command()
@click.argument("dataset")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--format", "format_name", type=click.Choice(FORMATS), required=True)
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

    The features of DATASET are written to OUT. mmsa: a pickle that MMSA's loader reads. merbench: a
    folder in MERBench's layout. safetensors: a file. parquet: a folder that Hugging Face `datasets`
    reads. The stages of a modality are concatenated, as in training.
    """
    from pipeline.formats.bundle import atomic_output
    from pipeline.messages import counted
    from pipeline.store.dataset_cache import open_dataset

    if tokenizer and format_name != "mmsa":
        raise UserError("--tokenizer goes with --format mmsa")
    notes: list[str] = []
    cache = open_dataset(dataset, cache_root, name)

    def read() -> Bundle:
        notes.clear()
        return _bundle(cache, _channels(cache, stages, notes), notes)

    bundle = cache.steadily(read)
    if format_name in LABELLED:
        bundle = _labelled(bundle, notes)
    with atomic_output(out) as part:
        _write(format_name, bundle, part, cache, tokenizer, notes)
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


def _bundle(cache: Cache, channels: Mapping[str, Sequence[str]], notes: list[str]) -> Bundle:
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
    )


def _labelled(bundle: Bundle, notes: list[str]) -> Bundle:
    labelled = bundle.where([clip.label is not None for clip in bundle.clips])
    if not labelled.clips:
        raise UserError(f"{bundle.name}: no clip has a label, without which this format has none")
    if left := len(bundle.clips) - len(labelled.clips):
        notes.append(f"{left} of {len(bundle.clips)} clips have no label and are left out")
    return labelled


def _write(
    format_name: str,
    bundle: Bundle,
    path: Path,
    cache: Cache,
    tokenizer: str | None,
    notes: list[str],
) -> None:
    from pipeline.formats import merbench, mmsa, parquet, safetensors

    if format_name == "mmsa":
        mmsa.write(bundle, path, _text_bert(bundle, cache, tokenizer, notes))
        if bundle.by_word:
            notes.append(
                "steps are words: this is an aligned file, for `need_data_aligned` of MMSA"
            )
        if not mmsa.has_all_modalities(bundle.clips):
            notes.append(
                "some clips have no label_T, label_A or label_V: MMSA can't read them as sims"
            )
    else:
        writers = {"merbench": merbench, "safetensors": safetensors, "parquet": parquet}
        writers[format_name].write(bundle, path)


def _text_bert(
    bundle: Bundle, cache: Cache, tokenizer: str | None, notes: list[str]
) -> np.ndarray | None:
    """The tokens by the tokenizer that was named, else by the text stage's own if it is here."""
    from pipeline.formats.mmsa import text_bert

    texts = [clip.text for clip in bundle.clips]
    tokens = bundle.features["text"].shape[1] if bundle.by_word else None
    if tokenizer:
        return text_bert(texts, tokenizer, True, tokens)
    try:
        own = _own_tokenizer(cache, bundle.channels.get("text", ()))
        return text_bert(texts, own, False, tokens)
    except UserError as error:
        notes.append(f"no text_bert, which MMSA's BERT models read ({error}); give --tokenizer")
        return None


def _own_tokenizer(cache: Cache, stages: Sequence[str]) -> str:
    from pipeline.dag.stage import about
    from pipeline.weights.random_weights import RANDOM

    for stage in stages:
        id = (cache[stage].attributes.get("weights") or {}).get("id")
        if about(cache[stage]).panel == "tokens" and id != RANDOM:
            return str(id)
    raise UserError("none of the text's stages has a tokenizer")
