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
    help="Which, as in smp,ef_lstm; by default all.",
)
@of_experiment
@of_training
@of_data
def compare(dataset: str, models: list[str], **options: Any) -> None:
    """Train the models on the features of DATASET and print the paper's Tables III and IV.

    A training that was done before, with all the same, is not done again. Epochs are chosen on
    the validation split; each training reads the test split once, after that.
    """
    from model.cli.experiment import run_and_print
    from model.experiments.compare import comparison

    _, samples = open_dataset(dataset, options)
    run_and_print(comparison(samples, models, options["preset"], given(options)), samples, options)
