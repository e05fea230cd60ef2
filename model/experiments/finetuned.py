"""A comparison's models once more with a text encoder that learns, each below itself as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from model.experiments.experiment import Experiment
from model.experiments.trainings import Entry
from model.training.given import merged


def with_fine_tuned(experiment: Experiment, given: Mapping[str, Any]) -> Experiment:
    """The experiment with such a row below each of its own, for samples that have tokens.

    given: settings of these rows' trainings in place of the others', `finetune` among them. Raises
    UserError that names a wrong one.
    """
    entries = [row for entry in experiment.entries for row in (entry, _fine_tuned(entry, given))]
    return replace(experiment, name=f"{experiment.name}-finetuned", entries=entries)


def _fine_tuned(entry: Entry, given: Mapping[str, Any]) -> Entry:
    settings = entry.preset.with_options(merged(entry.settings.model_dump(), given))
    return replace(entry, label=f"{entry.label}, text fine-tuned", settings=settings)
