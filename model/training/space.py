"""Which settings of a model a search tries: `space` in the model's YAML file, beside its presets.

By dotted name, the values to choose from (`batch: [16, 32, 64]`) or a range (`lr: {low: 1.0e-4,
high: 1.0e-2, log: true}`): of whole numbers where both ends are, evenly by ratio where `log`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, model_validator

from model.training import presets
from model.training.given import nested
from model.training.presets import Preset, flat
from model.training.settings import TrainSettings
from pipeline.errors import UserError
from pipeline.stage.bounded import Bounded

Value = bool | int | float | str
NEVER = ("model", "network", "task", "seed", "device")  # not for a search to choose


class Range(Bounded):
    """Every value from `low` to `high`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError("low is below high, and above 0 where log")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Space = dict[str, Range | list[Value]]
SPACE: TypeAdapter[Space] = TypeAdapter(Space)
COMMON: Space = {
    "lr": Range(low=1e-4, high=1e-2, log=True),
    "batch": [16, 32, 64, 128],
    "weight_decay": Range(low=1e-6, high=1e-2, log=True),
    "feature_dropout": Range(low=0.0, high=0.5),
}
"""Of a model whose file names no space."""


def space_of(preset: Preset, given: Mapping[str, Any]) -> Space:
    """What a search may change of a preset: its model's space but for what the user has `given`.

    Raises UserError for a space that is none, or that holds what the model refuses.
    """
    file, content = presets.content(preset.model)
    try:
        space = SPACE.validate_python(content.get(presets.SPACE, COMMON))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][:1]))
        raise UserError(f"{file}, space {where}: {first['msg'].lower()}") from None
    fixed = flat(given)
    for name, values in space.items():
        if name in NEVER or name.partition(".")[0] not in TrainSettings.model_fields:
            raise UserError(f"{file}, space: {name} is not for a search to choose")
        for value in [values.low, values.high] if isinstance(values, Range) else values:
            preset.with_options(nested({name: value}))
    return {name: values for name, values in space.items() if name not in fixed}


def values_of(settings: TrainSettings, space: Space) -> dict[str, Any]:
    """The values that `settings`, or the model's defaults, have within a space."""
    own = presets.with_defaults(settings)
    return {name: own[name] for name, values in space.items() if _holds(values, own[name])}


def _holds(values: Range | list[Value], value: Any) -> bool:
    return values.low <= value <= values.high if isinstance(values, Range) else value in values
