"""`smp compare`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from model.cli import completion
from model.cli.options import given, of_data, of_experiment, of_search, of_training, open_dataset
from pipeline.cli.group import Names

if TYPE_CHECKING:
    from model.data.samples import Samples
    from model.experiments.experiment import Experiment
    from pipeline.store.cache import Cache


@click.command()
@click.argument("dataset", type=click.Path())
@click.option(
    "--models",
    type=Names(),
    default="",
    shell_complete=completion.models,
    help="Models to compare, such as smp,ef_lstm,mine.net, or all.  [default: the paper's six]",
)
@click.option("--test-on", metavar="DATASET", help="Test on this dataset's test split instead.")
@click.option("--tuned", is_flag=True, help="Tune each model first, all within the same budget.")
@click.option(
    "--finetune",
    type=click.Choice(["text"]),
    help="Add a row for each model whose text encoder is trained too.",
)
@of_search
@of_experiment
@of_training
@of_data
def compare(dataset: str, models: list[str], **options: Any) -> None:
    """Train several models, and print the paper's Table III or IV.

    Models are trained on the cached features of DATASET, once per seed. A training that was done
    before with the same features, settings and code is not repeated. Epochs are chosen on the
    validation split; each training reads the test split once, after that.

    --test-on: trained and selected on DATASET, tested on another corpus of the same features, which
    lies in the same cache.

    --tuned: each model has the best settings that `smp tune` finds for it within --trials and
    --budget, as an honest comparison needs; else its preset's.

    --finetune: not together with --test-on or --tuned.
    """
    from model.cli.experiment import run_and_print
    from model.data.crossed import crossed
    from model.experiments.compare import comparison

    if options["finetune"] and (options["test_on"] or options["tuned"]):
        raise click.UsageError("--finetune goes with neither --test-on nor --tuned")
    cache, samples = open_dataset(dataset, options)
    if options["finetune"]:
        run_and_print(*_fine_tuned(cache, samples, models, options), options)
        return
    if options["test_on"]:
        _, other = open_dataset(options["test_on"], {**options, "name": None})
        samples = crossed(samples, other)
    of = samples, models, options["preset"], given(options)
    run_and_print(_tuned(*of, options) if options["tuned"] else comparison(*of), samples, options)


def _fine_tuned(
    cache: Cache, samples: Samples, models: list[str], options: Mapping[str, Any]
) -> tuple[Experiment, Samples]:
    from model.experiments.compare import comparison
    from model.experiments.finetuned import with_fine_tuned
    from model.finetune.text_stage import with_tokens

    settings, samples = given(options), with_tokens(samples, cache)
    own = {"finetune": {"of": options["finetune"], **settings.pop("finetune", {})}}
    experiment = comparison(samples, models, options["preset"], settings)
    return with_fine_tuned(experiment, own), samples


def _tuned(
    samples: Samples,
    models: list[str],
    preset: str | None,
    given: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Experiment:
    from model.cli.console import progress
    from model.experiments.compare import models_of
    from model.search.found import Budget
    from model.search.tuned import tuned_comparison

    budget, models = Budget.of(options), models_of(models)
    with progress(budget.trials * len(models)) as show:
        runs = Path(options["runs"])
        return tuned_comparison(samples, models, preset, given, budget, runs, show)
