"""`smp ablate`."""

from __future__ import annotations

from typing import Any

import click

from model.cli.options import given, of_data, of_experiment, of_training, open_dataset


@click.command()
@click.argument("dataset", type=click.Path())
@click.argument("what", type=click.Choice(["modalities", "features", "fusion"]))
@of_experiment
@of_training
@of_data
def ablate(dataset: str, what: str, **options: Any) -> None:
    """Train SMP on parts of DATASET's features: which modality, channel or fusion brings what.

    modalities: text, audio, picture alone, in pairs and all (the paper's Fig. 5). features: the
    channels of picture and of sound, alone and both (Fig. 6). fusion: fused features of a pair
    alone, or with the modalities' own (Table V). Goes on where it was stopped.
    """
    from model.cli.experiment import run_and_print
    from model.experiments.ablate import ablation
    from model.experiments.chart import draw

    cache, samples = open_dataset(dataset, options)
    experiment = ablation(what, cache, samples, options["preset"], given(options))
    run_and_print(experiment, samples, options, draw)
