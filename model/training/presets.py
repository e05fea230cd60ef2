"""Named training settings for each model and scale of scores: a model's YAML file, beside its own.

One entry a preset: its `source`, and values for each scale, mosi (within ±3, CMU-MOSI) and sims
(within ±1, CH-SIMS). The first is the model's default. What it leaves out is the trainer's default
(100 epochs at most, gradients cut to a norm of 1, no weight decay, no early stop) or the network's.
`space` beside them is what a search may try (model/training/space.py).

"toolkit": the values per dataset of MMSA (github.com/thuiar/MMSA, config_regression.json), with
which the published tables on CMU-MOSI and CH-SIMS were made. Its features are not ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from inspect import getfile
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model.metrics import SCALES
from model.registry import find
from model.training.given import merged
from model.training.settings import TrainSettings
from pipeline.errors import UserError
from pipeline.io.yaml_file import read_yaml

DEFAULTS = "the defaults of the code"
UNSET = object()
SPACE = "space"
EXPECTED = f"expected presets by name, each with source, {' and '.join(SCALES)}"
PATIENCE = 20  # epochs; of a model that has no preset


@dataclass(frozen=True)
class Preset:
    """Settings to train `model` with on one scale. source: where they are from."""

    name: str
    model: str
    scale: str
    source: str
    settings: TrainSettings

    def with_options(self, given: Mapping[str, Any]) -> TrainSettings:
        """These settings with those that the user gave in their place, all checked anew.

        given: by name; those of the model itself, which need not be all of them, under `network`.
        Raises UserError that names the setting.
        """
        try:
            settings = TrainSettings(**merged(self.settings.model_dump(), given))
        except ValidationError as error:
            raise _refusal(error, "training", "") from None
        try:
            find(self.model).Settings(**settings.network)
        except ValidationError as error:
            raise _refusal(error, self.model, "network.") from None
        return settings

    def to_json(self, settings: TrainSettings) -> dict[str, Any]:
        """For the record: which preset it was, and what `settings` have in place of its values."""
        instead = self._instead(settings)
        return {"name": self.name, "scale": self.scale, "source": self.source, "instead": instead}

    def told(self, settings: TrainSettings) -> str:
        """The same in a line for the user."""
        but = ", ".join(f"{key} {value}" for key, value in self._instead(settings).items())
        return f"preset {self.name!r} for {self.scale}" + (f", but {but}" if but else "")

    def _instead(self, settings: TrainSettings) -> dict[str, Any]:
        own, used = flat(self.settings.model_dump()), flat(settings.model_dump())
        instead = {key: value for key, value in used.items() if value != own.get(key, UNSET)}
        return {key: value for key, value in instead.items() if key != "seed"}


def preset(model: str, scale: str, name: str | None = None) -> Preset:
    """The preset `name` of `model`, by default its first, for a scale: "mosi" or "sims".

    A model that has none gets the trainer's and its own defaults and an early stop, as the
    preset "defaults".
    Raises UserError for a model or a preset that is not there.
    """
    unset: dict[str, Any] = {scale: {"patience": PATIENCE} for scale in SCALES}
    known = load(model) or {"defaults": _by_scale(model, "defaults", DEFAULTS, **unset)}
    chosen = name or next(iter(known))
    if chosen not in known:
        raise UserError(f"{model} has no preset {name!r}; there are {', '.join(known)}")
    return known[chosen][scale]


def has_preset(model: str, name: str) -> bool:
    """Whether `model` has a preset of that name."""
    return name in load(model)


@lru_cache
def load(model: str) -> dict[str, dict[str, Preset]]:
    """A model's presets, by name and scale. Raises UserError for what its file has wrong."""
    file, entries = content(model)
    entries = {name: entry for name, entry in entries.items() if name != SPACE}
    if not all(map(_is_entry, entries.values())):
        raise UserError(f"{file}: {EXPECTED}")
    try:
        return {name: _by_scale(model, name, **entry) for name, entry in entries.items()}
    except ValidationError as error:
        raise UserError(f"{file}: {_refusal(error, model, '')}") from None


def content(model: str) -> tuple[Path, dict[str, Any]]:
    """The file beside a model's, and what it holds: presets by name, and SPACE."""
    file = Path(getfile(find(model))).with_suffix(".yaml")
    found = read_yaml(file) if file.exists() else {}
    if not isinstance(found, dict):
        raise UserError(f"{file}: {EXPECTED}")
    return file, found


def _is_entry(content: Any) -> bool:
    is_whole = isinstance(content, dict) and content.keys() == {"source", *SCALES}
    return is_whole and all(isinstance(content[scale], dict) for scale in SCALES)


def _by_scale(model: str, name: str, source: str, **by_scale: Any) -> dict[str, Preset]:
    presets = {}
    for scale, values in by_scale.items():
        settings = TrainSettings(model=model, **values)
        find(model).Settings(**settings.network)
        presets[scale] = Preset(name, model, scale, source, settings)
    return presets


def _refusal(error: ValidationError, of: str, prefix: str) -> UserError:
    first = error.errors()[0]
    name = prefix + ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return UserError(f"{of} has no setting {name!r}; see `smp settings {of}`")
    return UserError(f"setting {name} {first['input']}: {first['msg'].lower()}")


def with_defaults(settings: TrainSettings) -> dict[str, Any]:
    """Settings by dotted names, with the model's defaults for those of its own that aren't set."""
    network = find(settings.model).Settings(**settings.network).model_dump()
    return flat({**settings.model_dump(), "network": network})


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings within settings by dotted names, such as `network.width`."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        is_nested = isinstance(value, Mapping) and value
        found |= flat(value, f"{prefix}{name}.") if is_nested else {prefix + name: value}
    return found
