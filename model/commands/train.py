"""`smp train`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from model.samples import Samples
    from model.train import Trained, TrainSettings

# torch and rich take seconds to import, which `smp --help` must not: they are imported where used.


@click.command()
@click.argument("dataset")
@click.option("--model", default="smp", show_default=True, help="Which model to train.")
@click.option("--epochs", default=100, show_default=True, help="How often to see every clip.")
@click.option("--batch", default=64, show_default=True, help="Clips a step.")
@click.option("--lr", default=1e-3, show_default=True, help="Adam's learning rate.")
@click.option("--patience", type=int, help="Stop after so many epochs without progress.")
@click.option("--seed", default=0, show_default=True, help="Same seed, same numbers.")
@click.option(
    "--task",
    type=click.Choice(["regression", "classification"]),
    default="regression",
    show_default=True,
    help="A score, or one of negative, neutral, positive.",
)
@click.option("--target", default="", help="T, A or V: that modality's own score, not the clip's.")
@click.option(
    "--scale",
    type=click.Choice(["auto", "mosi", "sims"]),
    default="auto",
    show_default=True,
    help="Whose metrics: scores within ±3 (CMU-MOSI) or ±1 (CH-SIMS).",
)
@click.option("--cache", default="cache", show_default=True, help="Folder or URL of the caches.")
@click.option("--name", help="What the cache calls the dataset; by default its folder's name.")
@click.option("--runs", default="runs", show_default=True, help="Folder of the run folders.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1 …")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def train(
    dataset: str,
    target: str,
    scale: str,
    cache: str,
    name: str | None,
    runs: str,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a model on the cached features of DATASET, a folder, a manifest or a name.

    The epoch is chosen on the validation split; the test split is read once, after that.
    """
    from model import run_folder
    from model.samples import load_samples
    from pipeline.cache import locate, open_cache

    run_folder.require_writable(Path(runs))
    samples = load_samples(open_cache(locate(dataset, cache, name)), target=target, scale=scale)
    chosen = _settings(settings)
    if not as_json:
        _print_samples(samples)
    trained = _train(samples, chosen)
    folder = run_folder.save(trained, samples, chosen, Path(runs))
    if as_json:
        click.echo(json.dumps(run_folder.as_json(_summary(trained, samples, chosen, folder))))
    else:
        _print_result(trained, samples, chosen, folder)


def _settings(values: dict[str, Any]) -> TrainSettings:
    from pydantic import ValidationError

    from model.train import TrainSettings
    from pipeline.errors import UserError

    try:
        return TrainSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        option = f"--{first['loc'][0]}"
        raise UserError(f"{option} {first['input']}: {first['msg'].lower()}") from None


def _train(samples: Samples, settings: TrainSettings) -> Trained:
    """Train, with a line of progress where someone is watching."""
    from rich.console import Console
    from rich.progress import Progress

    from model.train import train as run

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(settings.model, total=settings.epochs)

        def show(row: dict[str, float]) -> None:
            text = f"{settings.model}  validation loss {row['valid_loss']:.3f}"
            progress.update(bar, advance=1, description=text)

        return run(samples, settings, show)


def _summary(
    trained: Trained, samples: Samples, settings: TrainSettings, folder: Path
) -> dict[str, Any]:
    return {
        "run": str(folder),
        "dataset": samples.name,
        "model": settings.model,
        "task": settings.task,
        "seed": settings.seed,
        "scale": samples.scale.name,
        "best_epoch": trained.best_epoch,
        "seconds": round(trained.seconds, 3),
        "splits": samples.table(),
        **trained.metrics,
        "references": trained.references,
        "random_weights": samples.random_stages,
        "notes": list(samples.notes),
    }


_TITLES = {
    "mae": "MAE ↓",
    "corr": "Corr",
    "acc2": "Acc-2",
    "f1": "F1",
    "acc2_nonneg": "Acc-2 ≥0",
    "f1_nonneg": "F1 ≥0",
    "acc3": "Acc-3",
    "acc5": "Acc-5",
    "acc7": "Acc-7",
}
_AS_NUMBER = ("mae", "corr")


def _print_samples(samples: Samples) -> None:
    rows = samples.table()
    cells = [[split, *map(str, counts.values())] for split, counts in rows.items()]
    _print_table(f"{samples.name}: labelled clips", ["split", *rows["train"]], cells)
    for note in samples.notes:
        click.echo(f"note: {note}")


def _print_result(
    trained: Trained, samples: Samples, settings: TrainSettings, folder: Path
) -> None:
    measured = trained.metrics["test"]
    keys = [key for key in _TITLES if key in measured]
    name = settings.model + (" *" if samples.random_stages else "")
    rows = {name: measured, **trained.references}
    cells = [[row, *(_cell(key, rows[row][key]) for key in keys)] for row in rows]
    clips = samples.table()["test"]["clips"]
    title = f"{samples.name}: the {clips} test clips (accuracies and F1 in %)"
    _print_table(title, ["", *(_TITLES[key] for key in keys)], cells)
    if samples.random_stages:
        stages = ", ".join(samples.random_stages)
        click.echo(f"* random weights in {stages}: not the numbers that real weights give")
    click.echo(
        f"epoch {trained.best_epoch} of {len(trained.curve)} was chosen on validation; "
        f"the test split was read once, after that ({trained.seconds:.1f} s)"
    )
    click.echo(f"run folder: {folder}")


def _print_table(title: str, columns: list[str], cells: list[list[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in cells:
        table.add_row(*row)
    Console(file=sys.stdout, markup=False).print(table)


def _cell(key: str, value: float) -> str:
    if value != value:  # nan
        return "–"
    return f"{value:.3f}" if key in _AS_NUMBER else f"{100 * value:.2f}"
