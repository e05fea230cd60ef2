"""The reference of a training's and of the models' settings as Markdown, made from the classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from model.cli.options import TRAINING
from model.finetune.settings import FineTune
from model.metrics import SCALES
from model.network import NetworkSettings
from model.networks import names
from model.registry import find
from model.training import presets
from model.training.settings import TrainSettings
from pipeline.cli.settings_table import as_yaml, described, table

TRAININGS = f"""\
Set by options of `smp train`, `smp compare` and `smp ablate`: those below, `--set NAME=VALUE` or a
file, `--settings FILE`. What isn't set is the preset's (`model/networks/NAME.yaml`).
A whole number is at most {TrainSettings.most:,} unless its type says otherwise."""
MODELS = f"""\
Set by `--set network.NAME=VALUE`, or under `network` in a file, `--settings FILE`. What isn't set
is the preset's, or has its default. A whole number is at most {NetworkSettings.most:,} unless its
type says otherwise."""


def document() -> Iterator[str]:
    """The chapters on a training and on the models."""
    yield "## A training"
    yield TRAININGS
    yield training()
    yield "## The models"
    yield MODELS
    yield from map(model, names())


def training() -> str:
    """The settings of a training."""
    rows = described(TrainSettings)
    for row, name in zip(rows, TrainSettings.model_fields, strict=True):
        is_option = name in (*TRAINING, "model", "seed", "finetune")
        row.insert(1, f"`--{name.replace('_', '-')}`" if is_option else "")
    for name, *row in described(FineTune):
        rows.append([f"`finetune.{name.strip('`')}`", "", *row])
    return table(["setting", "option", "type", "default", "meaning"], rows)


def model(name: str) -> str:
    """A model's own settings, and its presets."""
    own = table(["setting", "type", "default", "meaning"], described(find(name).Settings))
    return "\n\n".join([f"### {name}", own, *_presets(name)])


def _presets(name: str) -> Iterator[str]:
    """A table of what each preset sets, and where the values are from."""
    by_column = {
        f"{preset} {scale}": _flat(entry[scale].settings.model_dump(exclude_unset=True))
        for preset, entry in presets.load(name).items()
        for scale in SCALES
    }
    settings = dict.fromkeys(key for values in by_column.values() for key in values)
    settings.pop("model", None)
    if settings:
        cells = [
            [f"`{key}`", *(as_yaml(v[key]) if key in v else "" for v in by_column.values())]
            for key in settings
        ]
        yield table(["preset", *by_column], cells)
    for preset, entry in presets.load(name).items():
        yield f"*{preset}*: {' '.join(next(iter(entry.values())).source.split())}"


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    network = values.get("network", {})
    rest = {key: value for key, value in values.items() if key != "network"}
    return rest | {f"network.{key}": value for key, value in network.items()}
