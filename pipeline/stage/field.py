"""What a stage writes, declared: axes, type and unit of each array."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from pipeline.errors import UserError

Axis = int | str


@dataclass(frozen=True)
class Field:
    """One array of a stage, without its clip axis.

    axes: sizes or names. `"step"` is the common time axis. A ragged field's first axis is a name
    whose length differs by clip (`("sample",)`), its other axes are sizes.
    """

    axes: tuple[Axis, ...]
    dtype: str
    unit: str = ""
    ragged: bool = False

    @property
    def width(self) -> int | None:
        """How many values a step has; None for what is no feature of each step, such as images."""
        is_feature = not self.ragged and len(self.axes) == 2 and self.axes[0] == "step"
        return int(self.axes[1]) if is_feature else None

    def shape(self, steps: int) -> tuple[int, ...]:
        """The array shape of one clip, `"step"` standing for `steps`; of one element if ragged."""
        axes = self.axes[1:] if self.ragged else self.axes
        return tuple(steps if axis == "step" else int(axis) for axis in axes)

    def nbytes(self, steps: int) -> int:
        """Bytes of one clip's row (of one element of a ragged field)."""
        return prod(self.shape(steps)) * np.dtype(self.dtype).itemsize

    def empty(self, steps: int) -> np.ndarray:
        """The row of a clip that has nothing: zeros, or no elements."""
        shape = self.shape(steps)
        return np.zeros((0, *shape) if self.ragged else shape, self.dtype)

    def check(self, name: str, row: np.ndarray, steps: int) -> None:
        """Raise TypeError where `row` is not what was declared: an extractor's bug."""
        shape = row.shape[1:] if self.ragged else row.shape
        if shape != self.shape(steps) or row.dtype != np.dtype(self.dtype):
            raise TypeError(
                f"field {name!r} was declared {self.axes} {self.dtype}, "
                f"got shape {row.shape} {row.dtype}"
            )

    def require(self, name: str, offered: Field, taker: str, giver: str) -> None:
        """Raise UserError unless `offered`, which stage `giver` writes, is what `taker` takes."""
        if (self.axes, self.dtype, self.ragged) != (offered.axes, offered.dtype, offered.ragged):
            raise UserError(
                f"stage {taker!r} takes {name!r} as {self.axes} {self.dtype}, but stage {giver!r} "
                f"writes {offered.axes} {offered.dtype}; change `needs` of {taker!r}"
            )


# Sound as one stage writes it and others take it.
SAMPLES = Field(("sample",), "int16", "16 kHz mono", ragged=True)
