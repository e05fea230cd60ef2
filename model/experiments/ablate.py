"""The paper's Figures 5 and 6 and its Table V: SMP on subsets of what it reads and fuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from model.data.samples import Samples, load_samples
from model.data.truth import scored
from model.experiments.experiment import Experiment, name_of, task_of
from model.experiments.published import published
from model.experiments.trainings import Entry
from model.objectives.single_modality import LETTERS
from model.training.given import merged
from model.training.presets import preset
from pipeline.dag.stage import built_in, default_channels, extractor_class
from pipeline.errors import UserError
from pipeline.store.cache import Cache

Channels = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Variant:
    """One setting of the same model. channels: stages by modality; network: settings of SMP."""

    label: str
    channels: Channels
    network: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""


def modalities(channels: Channels) -> Iterator[Variant]:
    """Each modality alone, the pairs, all: Fig. 5."""
    for count in range(1, len(LETTERS) + 1):
        for letters in combinations(LETTERS, count):
            chosen = {LETTERS[x]: channels.get(LETTERS[x], ()) for x in letters}
            yield Variant(" + ".join(letters), chosen)


def features(channels: Channels) -> Iterator[Variant]:
    """Each channel of a modality alone, all of its together: Fig. 6."""
    for modality in ("visual", "audio", "text"):
        own = channels.get(modality, ())
        default = default_channels()[modality]
        known = default if set(own) <= set(default) else own
        for stages in (*([stage] for stage in known), known) if len(known) > 1 else ():
            here = [stage for stage in stages if stage in own]
            label = " + ".join(_label(stage) for stage in stages)
            yield Variant(label, {modality: here if len(here) == len(stages) else ()}, {}, modality)


def _label(stage: str) -> str:
    own = extractor_class(stage, stage).about.label if stage in built_in() else ""
    return own or stage


def fusion(channels: Channels) -> Iterator[Variant]:
    """For each pair, its fused features alone and with those of either modality: Table V."""
    for pair in ("va", "vt", "at"):
        chosen = {LETTERS[x.upper()]: channels.get(LETTERS[x.upper()], ()) for x in pair}
        with_intra = " + ".join(f"F_{x}" for x in (*pair, pair))
        yield Variant(f"F_{pair}", chosen, {"intra": False}, pair)
        yield Variant(with_intra, chosen, {"intra": True}, pair)


ABLATIONS: Mapping[str, Callable[[Channels], Iterator[Variant]]] = {
    "modalities": modalities,
    "features": features,
    "fusion": fusion,
}


def ablation(
    what: str, cache: Cache, samples: Samples, preset_name: str | None, given: Mapping[str, Any]
) -> Experiment:
    """The variants of one of ABLATIONS for which there is everything; what is lacking is noted.

    samples: everything there is, as `load_samples` gave it.
    Table V gives classes (eq. 23), so that `fusion` classifies unless told otherwise.
    """
    if what == "fusion":
        given = {"task": "classification", **given}
    variants = list(ABLATIONS[what](samples.channels))
    possible = [variant for variant in variants if all(variant.channels.values())]
    if not possible:
        raise UserError(f"{samples.name}: no features for any of the {what} to compare")
    left_out = [
        variant.label
        for variant in variants
        if any(not (stages or m in samples.chosen) for m, stages in variant.channels.items())
    ]
    notes = (
        [f"left out, as the cache has no features for them: {', '.join(left_out)}"]
        if left_out
        else []
    )
    entries = [_entry(variant, cache, samples, preset_name, given) for variant in possible]
    task = task_of(samples, entries[0].settings)
    is_theirs = task == "classification" and tuple(samples.targets) == scored(samples.scale)
    rows, source = published(what, samples.scale.name) if is_theirs else ([], "")
    name = name_of(samples, "ablate", what, task)
    return Experiment(name, f"SMP, {what}", entries, rows, source, notes)


def _entry(
    variant: Variant,
    cache: Cache,
    samples: Samples,
    preset_name: str | None,
    given: Mapping[str, Any],
) -> Entry:
    found = preset("smp", samples.scale.name, preset_name)
    settings = found.with_options(merged(given, {"network": variant.network}))

    def load() -> Samples:
        return load_samples(cache, variant.channels, samples.target, targets=samples.targets)

    return Entry(variant.label, load, settings, found, variant.group)
