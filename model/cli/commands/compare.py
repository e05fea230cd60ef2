"""`smp compare`."""

from __future__ import annotations

from typing import Any

import click

from model.cli import completion
from model.cli.options import given, of_data, of_experiment, of_training, open_dataset
from pipeline.cli.group import Names


@click.command()
@click.argument("dataset", type=click.Path())
@click.option(
    "--models",
    type=Names(),
    default="",
    shell_complete=completion.models,
    help="Models to compare, such as smp,ef_lstm,mine.net, or all.  [default: the paper's six]",
)
@of_experiment
@of_training
@of_data
def compare(dataset: str, models: list[str], **options: Any) -> None:
    """Train several models, and print the paper's Table III or IV.

    Models are trained on the cached features of DATASET, once per seed. A training that was done
    before with the same features, settings and code is not repeated. Epochs are chosen on the
    validation split; each training reads the test split once, after that.
    """
    from model.cli.experiment import run_and_print
    from model.experiments.compare import comparison

    _, samples = open_dataset(dataset, options)
    run_and_print(comparison(samples, models, options["preset"], given(options)), samples, options)
