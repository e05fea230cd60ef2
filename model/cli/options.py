"""Options that several commands have, and what they make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from model.cli import completion
from pipeline.cli.group import Names

if TYPE_CHECKING:
    from model.data.samples import Samples
    from pipeline.store.cache import Cache

Command = Callable[..., Any]

TRAINING = ("task", "epochs", "batch", "lr", "weight_decay", "clip_norm", "patience", "device")
"""The settings of a training that a user can give in place of the preset's."""


def of_data(command: Command) -> Command:
    """Which features and scores are read."""
    return _all(
        command,
        click.option("--target", default="", help="T, A or V: that modality's own score."),
        click.option(
            "--text",
            type=Names(),
            default="",
            metavar="STAGES",
            help="What the text is: bert, tencent or bert,tencent.  [default: bert]",
        ),
        click.option(
            "--scale",
            type=click.Choice(["auto", "mosi", "sims"]),
            default="auto",
            show_default=True,
            help="Whose metrics: scores within ±3 (CMU-MOSI) or ±1 (CH-SIMS).",
        ),
        click.option("--cache", default="cache", show_default=True, help="Folder or URL."),
        click.option("--name", help="What the cache calls the dataset; else its folder's name."),
        click.option("--runs", default="runs", show_default=True, help="Where results go."),
    )


def of_training(command: Command) -> Command:
    """A preset, and what to take in place of its values."""
    return _all(
        command,
        click.option(
            "--preset",
            shell_complete=completion.preset,
            help="Named settings of presets.yaml; else the first.",
        ),
        click.option(
            "--task",
            type=click.Choice(["regression", "classification"]),
            help="A score, or one of negative, neutral, positive.",
        ),
        click.option("--epochs", type=int, help="How often to see every clip."),
        click.option("--batch", type=int, help="Clips a step."),
        click.option("--lr", type=float, help="Adam's learning rate."),
        click.option("--weight-decay", type=float, help="Adam's weight decay."),
        click.option("--clip-norm", type=float, help="What gradients are cut to."),
        click.option("--patience", type=int, help="Stop after so many epochs without progress."),
        click.option("--device", help="cpu, cuda, cuda:1 …  [default: auto]"),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object, no more."),
    )


def of_experiment(command: Command) -> Command:
    """How often each model is trained, and where the table goes."""
    return _all(
        command,
        click.option(
            "--seeds",
            type=click.IntRange(min=1),
            default=5,
            show_default=True,
            help="Trainings of each row: seeds 0, 1 …",
        ),
        click.option(
            "--out",
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder of the table; by default one in RUNS, named after what it is of.",
        ),
    )


def _all(command: Command, *options: Callable[[Command], Command]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def open_dataset(dataset: str, options: Mapping[str, Any]) -> tuple[Cache, Samples]:
    """The cache that `of_data` names and everything in it that a model can read."""
    # torch and zarr take seconds to import, which `smp --help` must not pay.
    from model.data.samples import load_samples
    from pipeline.store.cache import locate, open_cache

    cache = open_cache(locate(dataset, options["cache"], options["name"]))
    chosen = {key: options[key] for key in ("target", "scale", "text")}
    return cache, load_samples(cache, **chosen)


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options of `of_training` that the user gave."""
    return {name: options[name] for name in TRAINING if options[name] is not None}
