"""Options that several commands share, and what they stand for."""

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
"""The settings of a preset that options replace."""


def _together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator."""

    def decorated(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


of_data = _together(
    click.option("--target", default="", help="Predict a modality's own score: T, A or V."),
    click.option(
        "--text",
        type=Names(),
        default="",
        metavar="STAGES",
        help="Text features: bert, tencent or bert,tencent.  [default: bert]",
    ),
    click.option(
        "--scale",
        type=click.Choice(["auto", "mosi", "sims"]),
        default="auto",
        show_default=True,
        help="Range of scores, and their metrics: ±3 (mosi) or ±1 (sims).",
    ),
    click.option("--cache", default="cache", show_default=True, help="Folder or URL of the cache."),
    click.option("--name", help="Name of the dataset in the cache.  [default: its folder's]"),
    click.option("--runs", default="runs", show_default=True, help="Folder for results."),
)
"""Which features and scores are read."""


of_training = _together(
    click.option(
        "--preset",
        shell_complete=completion.preset,
        help="Named settings from presets.yaml.  [default: the model's first]",
    ),
    click.option(
        "--task",
        type=click.Choice(["regression", "classification"]),
        help="Predict a score, or one of negative, neutral, positive.",
    ),
    click.option("--epochs", type=int, help="Maximum number of epochs."),
    click.option("--batch", type=int, help="Batch size."),
    click.option("--lr", type=float, help="Learning rate of Adam."),
    click.option("--weight-decay", type=float, help="Weight decay of Adam."),
    click.option("--clip-norm", type=float, help="Maximum gradient norm."),
    click.option("--patience", type=int, help="Epochs without improvement before stopping."),
    click.option("--device", help="cpu, cuda, cuda:1 …  [default: auto]"),
    click.option("--json", "as_json", is_flag=True, help="Print a single JSON object."),
)
"""A preset, and values that replace its own."""


of_experiment = _together(
    click.option(
        "--seeds",
        type=click.IntRange(min=1),
        default=5,
        show_default=True,
        help="Trainings per row, with seeds 0, 1 …",
    ),
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder for the table.  [default: RUNS/<dataset>-<experiment>]",
    ),
)
"""How often each model is trained, and where the table goes."""


def open_dataset(dataset: str, options: Mapping[str, Any]) -> tuple[Cache, Samples]:
    """The cache that `of_data` names and everything in it that a model can read."""
    # torch and zarr take seconds to import, which `smp --help` must not pay.
    from model.data.samples import load_samples
    from pipeline.store.cache import locate, open_cache

    cache = open_cache(locate(dataset, options["cache"], options["name"]))
    chosen = {key: options[key] for key in ("target", "scale", "text")}
    return cache, cache.steadily(lambda: load_samples(cache, **chosen))


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `of_training` that the user gave."""
    return {name: options[name] for name in TRAINING if options[name] is not None}
