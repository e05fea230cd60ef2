"""A cache's features by modality, as files of other tools and repositories of others hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from model.data.channels import available, read_modality
from model.data.provenance import provenance, random_stages
from pipeline.dag.stage import about
from pipeline.errors import UserError
from pipeline.formats.bundle import Bundle
from pipeline.store.cache import Cache
from pipeline.weights.random_weights import RANDOM, random_note


def bundled(
    cache: Cache, chosen: Mapping[str, Sequence[str]], tokenizer: str = ""
) -> tuple[Bundle, list[str]]:
    """All clips of a cache with their features, and what the user should know of them.

    chosen: stages by modality, in place of those that a training would take. The stages of a
    modality lie side by side; what a clip lacks of them is zero. Raises UserError where there are
    no features.
    """
    notes: list[str] = []
    found = available(cache, notes, chosen)
    channels = {modality: list(stages) for modality, stages in found.items() if stages}
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
    bundle = Bundle(
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
    return bundle, notes


def _tokenizers(cache: Cache, stages: Sequence[str]) -> Iterator[str]:
    """The weights of the stages whose steps are tokens."""
    for stage in stages:
        id = (cache[stage].attributes.get("weights") or {}).get("id")
        if about(cache[stage]).panel == "tokens" and id != RANDOM:
            yield str(id)
