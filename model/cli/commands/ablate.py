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
    """Train SMP without some modalities, features or fusions.

    SMP is trained on parts of DATASET's cached features. modalities: text, audio and video alone,
    in pairs and together (the paper's Fig. 5). features: the channels of video and of audio, alone
    and together (Fig. 6). fusion: the fused features of a pair alone, or with those of its
    modalities (Table V). Trainings that were done before are not repeated.
    """
    from model.cli.experiment import run_and_print
    from model.experiments.ablate import ablation
    from model.experiments.chart import draw

    cache, samples = open_dataset(dataset, options)
    experiment = ablation(what, cache, samples, options["preset"], given(options))
    run_and_print(experiment, samples, options, draw)
