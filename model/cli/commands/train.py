"""`smp train`."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from model.cli.options import given, of_data, of_model, of_training, open_dataset

if TYPE_CHECKING:
    from model.data.samples import Samples
    from model.training.loop import Trained
    from model.training.settings import TrainSettings

IN_RUN = ""  # no folder was named: events go to the run's

# torch and rich take seconds to import, which `smp --help` must not: they are imported where used.


@click.command()
@click.argument("dataset", type=click.Path())
@of_model("train")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same numbers.")
@click.option(
    "--finetune",
    type=click.Choice(["text"]),
    help="Train the text encoder too; its settings are `finetune` in `smp settings training`.",
)
@click.option(
    "--tensorboard",
    type=click.Path(file_okay=False),
    metavar="[FOLDER]",
    is_flag=False,
    flag_value=IN_RUN,
    help="Write TensorBoard events to FOLDER during training; without FOLDER, to the run folder.",
)
@of_training
@of_data
def train(
    dataset: str,
    model: str,
    seed: int,
    finetune: str | None,
    tensorboard: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a model on the cached features of a dataset.

    DATASET is a folder or a manifest, whose labels and splits are read as they are now; or the name
    of a cached dataset, or the cache, with those of the last extraction. Settings come from the
    model's preset for the dataset's scale, except for options given here. The best epoch is chosen
    on the validation split; the test split is read once, after that.

    Each training writes a new folder, RUNS/<dataset>-<model>-seed<seed>, with -2, -3 … appended
    where that exists.
    """
    from model.finetune.text_stage import with_tokens
    from model.runs.save import require_writable, save_run
    from model.training.given import merged
    from model.training.presets import preset as find_preset
    from model.training.probe import linear_probes
    from model.training.tensorboard import replay, require_tensorboard
    from pipeline.cli.console import print_devices

    if tensorboard is not None:
        require_tensorboard()
    require_writable(Path(options["runs"]))
    cache, samples = open_dataset(dataset, options)
    preset = find_preset(model, samples.scale.name, options["preset"])
    own = {"seed": seed, **({"finetune": {"of": finetune}} if finetune else {})}
    settings = preset.with_options(merged(given(options), own))
    samples = with_tokens(samples, cache) if settings.finetune else samples
    if not as_json:
        _print_samples(samples)
        click.echo(f"{model}: {preset.told(settings)}")
        print_devices([settings.device])
    trained = _train(samples, settings, tensorboard)
    found = linear_probes(samples, trained.predictor.objective)
    probes = {name: own.metrics for name, own in found.items()}
    trained = replace(trained, references={**probes, **trained.references})
    folder = save_run(trained, samples, settings, Path(options["runs"]), preset)
    if tensorboard == IN_RUN:
        replay(folder, settings, trained)
    if as_json:
        click.echo(json.dumps(_summary(folder)))
    else:
        _print_result(trained, samples, settings)
        _print_folder(folder, samples, settings)


def _train(samples: Samples, settings: TrainSettings, tensorboard: str | None) -> Trained:
    """Train, with a line of progress where someone is watching, and events where asked for."""
    from model.cli.console import progress
    from model.runs.save import name_of
    from model.training.loop import train as run
    from model.training.memory import out_of_memory_told
    from model.training.tensorboard import Events

    folder = Path(tensorboard or "") / name_of(samples, settings)
    with (
        out_of_memory_told(settings),
        progress(settings.epochs) as show,
        Events.in_new_folder(folder, settings) if tensorboard else nullcontext() as events,
    ):

        def on_epoch(row: dict[str, float]) -> None:
            show(row["epoch"], f"{settings.model}  validation loss {row['valid_loss']:.3f}")
            if events:
                events.epoch(row)

        trained = run(samples, settings, on_epoch)
        if events:
            events.end(trained)
    return trained


def _summary(folder: Path) -> dict[str, Any]:
    """What a program may want to know of a run."""
    from model.runs.files import METRICS, PROVENANCE, SETTINGS, read_json

    settings = read_json(folder, SETTINGS)
    return {
        "run": str(folder),
        "dataset": read_json(folder, PROVENANCE)["dataset"],
        "preset": settings["preset"]["name"],
        **{key: settings["train"][key] for key in ("model", "task", "seed")},
        "scale": settings["data"]["scale"],
        **read_json(folder, METRICS),
    }


def _print_samples(samples: Samples) -> None:
    from model.cli.console import print_table

    rows = samples.table()
    cells = [[split, *map(str, counts.values())] for split, counts in rows.items()]
    columns = [column.replace("_", " ") for column in rows["train"]]
    print_table(f"{samples.name}: labelled clips", ["split", *columns], [cells])
    for note in samples.notes:
        click.echo(f"note: {note}")


def _print_result(trained: Trained, samples: Samples, settings: TrainSettings) -> None:
    from model.cli.console import print_table
    from model.metrics import ordered, title
    from model.runs.files import SPOKEN
    from pipeline.weights.random_weights import RANDOM_MARK, random_note

    measured = trained.metrics[trained.judged]
    keys = ordered(measured)
    name = settings.model + (f" {RANDOM_MARK}" if samples.random_stages else "")
    rows = {name: measured, **trained.references}
    cells = [[row, *(_cell(key, rows[row].get(key, nan)) for key in keys)] for row in rows]
    clips, split = samples.table()[trained.judged]["clips"], SPOKEN[trained.judged]
    what = f"{samples.name}: the {clips} {split} clips (accuracies and F1 in %)"
    print_table(what, ["", *map(title, keys)], [cells])
    if note := random_note(samples.random_stages):
        click.echo(f"{RANDOM_MARK} {note}")
    read = "the test split was read once, after that" if split == "test" else "no test split"
    click.echo(
        f"epoch {trained.best_epoch} of {len(trained.curve)} was chosen on validation; {read} "
        f"({trained.seconds:.1f} s)"
    )


def _print_folder(folder: Path, samples: Samples, settings: TrainSettings) -> None:
    from model.runs.save import name_of

    if folder.name != (name := name_of(samples, settings)):
        click.echo(f"an earlier run is kept in {folder.with_name(name)}")
    click.echo(f"run folder: {folder}")


def _cell(key: str, value: float) -> str:
    from model.metrics import is_share

    if isnan(value):
        return "–"
    return f"{100 * value:.2f}" if is_share(key) else f"{value:.3f}"
