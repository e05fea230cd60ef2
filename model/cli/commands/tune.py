"""`smp tune`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from model.cli.options import given, of_data, of_model, of_search, of_training, open_dataset


@click.command()
@click.argument("dataset", type=click.Path())
@of_model("tune")
@click.option("--seed", default=0, show_default=True, help="Of every trial.")
@of_search
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the search.  [default: RUNS/<dataset>-tune-<model>-<task>]",
)
@of_training
@of_data
def tune(dataset: str, model: str, seed: int, out: Path | None, **options: Any) -> None:
    """Search for a model's best settings on validation.

    The first trial has the preset's settings, the others what the trials before suggest, within the
    `space` in the model's YAML file; settings given here stay as they are. A trial that falls
    behind is stopped. The three best are trained with two more seeds each, and the best on average
    is found. The test split is never read, and need not be there.

    A search that was killed goes on where it was; with more --trials it goes on from there. Its
    folder holds `settings.yaml` for `smp train --settings`, and a page, `search.html`.
    """
    from model.cli.console import progress
    from model.search import folder, page
    from model.search.found import Budget
    from model.search.tune import tune as search
    from model.training.presets import preset as find_preset
    from pipeline.cli.console import print_devices

    _, samples = open_dataset(dataset, options)
    preset = find_preset(model, samples.scale.name, options["preset"])
    fixed = {**given(options), "seed": seed}
    budget = Budget.of(options)
    if not options["as_json"]:
        for note in samples.notes:
            click.echo(f"note: {note}")
        print_devices([preset.with_options(fixed).device])
    with progress(budget.trials) as show:
        found = search(samples, preset, fixed, budget, Path(options["runs"]), out, show)
    folder.write(found)
    written = page.write(found)
    if options["as_json"]:
        click.echo(json.dumps({"folder": str(found.folder), **folder.to_json(found)}))
        return
    click.echo(f"found: {folder.source(found)}")
    click.echo(f"in place of {preset.told(found.settings)}")
    click.echo(f"written: {found.folder / folder.SETTINGS} and {written.name}")
