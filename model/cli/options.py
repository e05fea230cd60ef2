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


class Channels(Names):
    """Comma-separated stages of a modality; an empty list for `none`."""

    name = "stages"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        names = list(dict.fromkeys(super().convert(value, param, ctx)))
        return [] if names == ["none"] else names


def _together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator."""

    def decorated(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


class Duration(click.ParamType):
    """`90s`, `30m` or `2h`, as seconds."""

    name = "duration"
    units = {"s": 1, "m": 60, "h": 3600}

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        number, unit = value[:-1], self.units.get(value[-1:])
        if unit is None or not number.isdecimal():
            self.fail(f"{value!r} is no duration such as 90s, 30m or 2h", param, ctx)
        return float(int(number) * unit)


class Levels(Names):
    """Comma-separated numbers within limits; an empty list for `none`."""

    name = "numbers"

    def __init__(self, low: float, high: float, low_is_out: bool = False) -> None:
        self.range: click.ParamType = click.FloatRange(low, high, min_open=low_is_out)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[Any]:
        names = [str(name) for name in super().convert(value, param, ctx)]
        return [] if names == ["none"] else [self.range.convert(n, param, ctx) for n in names]


class ChannelsOption(click.Option):
    """An option that finds out its default stages where they are shown: they take time to load."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from pipeline.dag.stage import default_channels

        names, told = super().get_help_record(ctx) or ("", "")
        return names, f"{told}  [default: {','.join(default_channels()[self.name or ''])}]"


of_channels = _together(
    *(
        click.option(
            f"--{modality}",
            cls=ChannelsOption,
            type=Channels(),
            help=f"{called} features: stages, or none.",
        )
        for modality, called in {"visual": "Video", "audio": "Audio", "text": "Text"}.items()
    )
)
"""Which stages are a modality, comma-separated: what stands for it, side by side."""


of_cache = _together(
    click.option(
        "--cache",
        "cache_root",
        default="cache",
        show_default=True,
        help="Folder or URL of the cache.",
    ),
    click.option("--name", help="Name of the dataset in the cache.  [default: its folder's]"),
)
"""Where a dataset's features are."""


def of_model(done: str) -> Callable[[Command], Command]:
    """Which model a command is for. done: what it does, as `train`."""
    told = f"Model to {done}, or a module of yours with one."
    return click.option(
        "--model", default="smp", show_default=True, shell_complete=completion.model, help=told
    )


of_data = _together(
    click.option(
        "--target",
        default="",
        metavar="NAME",
        help="What to predict: a target of the dataset, such as T, A or V, or all of them jointly. "
        "[default: the score, else the first]",
    ),
    of_channels,
    click.option(
        "--scale",
        type=click.Choice(["auto", "mosi", "sims"]),
        default="auto",
        show_default=True,
        help="Range of scores that declare none, and their metrics: ±3 (mosi) or ±1 (sims).",
    ),
    of_cache,
    click.option("--runs", default="runs", show_default=True, help="Folder for results."),
)
"""Which features and scores are read."""


from_runs = click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default="runs",
    show_default=True,
    help="Folder of runs, where RUN is a dataset.",
)
"""Where the newest run of a dataset is looked for."""

new_weights = click.option(
    "--weights",
    "weights",
    multiple=True,
    metavar="STAGE=WHERE",
    help="New location of a stage's weights. They must be the same weights.",
)
"""Where weights are, for those that lie elsewhere than when the model was trained."""

of_training = _together(
    click.option(
        "--preset",
        shell_complete=completion.preset,
        help="Named settings of the model.  [default: its first]",
    ),
    click.option(
        "--task",
        type=click.Choice(["regression", "classification"]),
        help="Predict a score, or its class: negative, neutral or positive.",
    ),
    click.option("--epochs", type=int, help="Maximum number of epochs."),
    click.option("--batch", type=int, help="Batch size."),
    click.option("--lr", type=float, help="Learning rate of Adam."),
    click.option("--weight-decay", type=float, help="Weight decay of Adam."),
    click.option("--clip-norm", type=float, help="Maximum gradient norm."),
    click.option("--patience", type=int, help="Epochs without improvement before stopping."),
    click.option(
        "--settings",
        "settings_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="YAML file of settings: any of `smp settings training`, and the model's as `network`.",
    ),
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="NAME=VALUE",
        help="One such setting, as network.width=128; as often as needed.",
    ),
    click.option("--device", help="cpu, cuda, cuda:1 …  [default: auto]"),
    click.option("--json", "as_json", is_flag=True, help="Print a single JSON object."),
)
"""A preset, and values that replace its own."""


of_experiment = _together(
    click.option(
        "--seeds",
        type=click.IntRange(1, 1000),
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


of_search = _together(
    click.option(
        "--trials",
        type=click.IntRange(1, 100_000),
        default=50,
        show_default=True,
        help="Settings to try, those of earlier calls included.",
    ),
    click.option(
        "--budget",
        type=Duration(),
        help="Time for all trials of a model, such as 30m: none begins or goes on after that.",
    ),
)
"""How much a search may cost."""


def open_dataset(dataset: str, options: Mapping[str, Any]) -> tuple[Cache, Samples]:
    """The cache that `of_data` names and everything in it that a model can read."""
    # torch and zarr take seconds to import, which `smp --help` must not pay.
    from model.data.samples import load_samples
    from pipeline.store.dataset_cache import open_dataset as opened

    cache = opened(dataset, options["cache_root"], options["name"])
    about = {key: options[key] for key in ("target", "scale")}
    asked = chosen(options)
    return cache, cache.steadily(lambda: load_samples(cache, chosen=asked, **about))


def chosen(options: Mapping[str, Any]) -> dict[str, list[str]]:
    """The stages by modality that the user gave with `of_channels`; [] where that was `none`."""
    from pipeline.stage.about import MODALITIES

    return {name: options[name] for name in MODALITIES if options[name] is not None}


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the user gave with `of_training`: a file's, single ones, options.

    The later of these replace the earlier ones.
    """
    from model.training.given import assigned, merged, read

    file = read(options["settings_file"]) if options["settings_file"] else {}
    named = {name: options[name] for name in TRAINING if options[name] is not None}
    return merged(merged(file, assigned(options["assignments"])), named)
