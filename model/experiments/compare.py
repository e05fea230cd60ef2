"""The paper's Tables III and IV: every model on the same features, over the same seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any

from model.data.samples import Samples
from model.data.truth import scored
from model.experiments.experiment import Experiment, name_of, task_of
from model.experiments.published import order, published, title
from model.experiments.table import Row
from model.experiments.trainings import Entry
from model.networks import names
from model.training.given import merged
from model.training.presets import Preset, has_preset, preset
from pipeline.errors import UserError


def comparison(
    samples: Samples,
    models: Sequence[str],
    preset_name: str | None,
    given: Mapping[str, Any],
    of_models: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Experiment:
    """`models`, by default the paper's, each trained by its preset with `given` settings in place.

    `all` stands for every model there is. preset_name: for the models that have one of that name;
    the others keep their first. of_models: settings of single ones.
    """
    models = models_of(models)
    if preset_name and not any(has_preset(model, preset_name) for model in models):
        raise UserError(f"none of {', '.join(models)} has a preset {preset_name!r}")
    of_each = [merged(given, of_models.get(model, {})) for model in models]
    entries = [_entry(samples, *own, preset_name) for own in zip(models, of_each, strict=True)]
    task = task_of(samples, entries[0].settings)
    is_theirs = task == "regression" and tuple(samples.targets) == scored(samples.scale)
    is_theirs &= "tested_on" not in samples.provenance
    tables = _published(samples.scale.name, models) if is_theirs else []
    rows = [row for own, _ in tables for row in own]
    source = "; ".join(source for _, source in tables if source)
    name = name_of(samples, "compare", task)
    return Experiment(name, f"models on {', '.join(samples.batch.widths)}", entries, rows, source)


def _published(scale: str, models: Sequence[str]) -> list[tuple[list[Row], str]]:
    """The paper's rows; of models that it does not compare, the toolkit's or their authors'."""
    others = [published(table, scale, models) for table in ("toolkit", "authors")]
    return [published("compare", scale), *others]


def models_of(named: Sequence[str]) -> list[str]:
    """The models that are named, `all` of them in its place; by default the paper's."""
    chosen = [every_model() if name == "all" else [name] for name in named] or [order()]
    return list(dict.fromkeys(chain.from_iterable(chosen)))


def every_model() -> list[str]:
    """Those of the paper's tables come last, in its order."""
    return [*(model for model in names() if model not in order()), *order()]


def own_preset(samples: Samples, model: str, preset_name: str | None) -> Preset:
    """The model's preset of that name, else its first."""
    name = preset_name if preset_name and has_preset(model, preset_name) else None
    return preset(model, samples.scale.name, name)


def _entry(
    samples: Samples, model: str, given: Mapping[str, Any], preset_name: str | None
) -> Entry:
    found = own_preset(samples, model, preset_name)
    settings = found.with_options(given)
    label = title(model, settings.own_vectors)
    return Entry(label, lambda: samples, settings, found)
