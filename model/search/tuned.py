"""An honest comparison: every model with the best settings that the same budget found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from model.data.samples import Samples
from model.experiments.compare import comparison, models_of, own_preset
from model.experiments.experiment import Experiment
from model.search import folder, page
from model.search.found import Budget, Found
from model.search.tune import SEEDS, Show, tune

NOTE = (
    "Tuned: each model has the best of {trials} trials{time} on the validation split, the best of "
    "them with {seeds} seeds; the same for all."
)


def tuned_comparison(
    samples: Samples,
    models: Sequence[str],
    preset_name: str | None,
    given: Mapping[str, Any],
    budget: Budget,
    runs: Path,
    show: Show = lambda done, text: None,
) -> Experiment:
    """As `comparison`, of models each tuned within `budget`; searches there are count.

    show: told how many trials of all models are done, and what of.
    """
    models = models_of(models)
    found: dict[str, Found] = {}
    for number, model in enumerate(models):

        def show_own(done: float, text: str, model: str = model, number: int = number) -> None:
            show(number * budget.trials + done, f"{model}, {text}")

        preset = own_preset(samples, model, preset_name)
        found[model] = tune(samples, preset, given, budget, runs, show=show_own)
        folder.write(found[model])
        page.write(found[model])
    settings = {model: folder.settings_of(own) for model, own in found.items()}
    made = comparison(samples, models, preset_name, {}, settings)
    note = NOTE.format(trials=budget.trials, time=budget.within, seeds=SEEDS)
    name = made.name.replace("compare", "compare-tuned", 1)
    return replace(made, name=name, title=f"tuned {made.title}", notes=[*made.notes, note])
