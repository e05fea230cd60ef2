"""`smp robustness`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from model.cli.options import given, of_data, of_model, of_training, open_dataset
from pipeline.cli.group import Names


@click.command()
@click.argument("dataset", type=click.Path())
@of_model("measure")
@click.option(
    "--curves",
    type=Names(),
    default="clips,test",
    show_default=True,
    help="Which curves: clips, test, training.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 1000),
    default=3,
    show_default=True,
    help="Trainings per point, with seeds 0, 1 …",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the curves.  [default: RUNS/<dataset>-robustness-<model>-<task>]",
)
@of_training
@of_data
def robustness(
    dataset: str, model: str, curves: list[str], seeds: int, out: Path | None, **options: Any
) -> None:
    """Measure how results fall with fewer clips and modalities.

    clips: the score over the share of training clips, beside the linear probe's. test: over the
    share of test clips that lack a modality, and of steps that are missing. training: the same,
    missing at training too. Trainings that were done before are not repeated.
    """
    from model.cli.console import progress
    from model.experiments.experiment import name_of, task_of
    from model.robustness import folder, page
    from model.robustness.curves import KINDS
    from model.robustness.curves import robustness as measure
    from model.runs.files import as_json as finite
    from model.training.presets import preset as find_preset

    if not curves or (unknown := set(curves) - set(KINDS)):
        told = ", ".join(sorted(unknown)) if curves else "none"
        raise click.BadParameter(f"{told}; there are {', '.join(KINDS)}", param_hint="--curves")
    _, samples = open_dataset(dataset, options)
    preset = find_preset(model, samples.scale.name, options["preset"])
    settings = preset.with_options(given(options))
    runs = Path(options["runs"])
    with progress(1) as show:
        found = measure(samples, preset, settings, curves, range(seeds), runs, show)
    task = task_of(samples, settings)
    own = out or runs / f"{samples.name}-{name_of(samples, 'robustness', model, task)}"
    folder.write(found, own)
    written = page.write(found, own)
    if options["as_json"]:
        click.echo(json.dumps({"folder": str(own), **finite(folder.to_json(found))}))
        return
    for note in samples.notes:
        click.echo(f"note: {note}")
    click.echo(f"{found.trained} trainings done; written: {written} and {folder.POINTS}")
