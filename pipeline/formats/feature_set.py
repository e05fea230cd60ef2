"""What another tool's files hold, whatever their format: clips, and rows for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.dataset.clip import Clip
from pipeline.dataset.ids import require_new
from pipeline.dataset.target import Target, read_targets, within
from pipeline.errors import ClipError, MissingModalityError


@dataclass(frozen=True)
class Feature:
    """One feature of all clips.

    modality: `visual`, `audio` or `text`. rows: gives those of a clip by its number, as found,
    [steps, width]; raises ClipError.
    """

    modality: str
    width: int
    rows: Callable[[int], np.ndarray]

    def values(self, number: int) -> np.ndarray:
        """The rows of a clip, float32 and finite.

        Rows of nothing but zeros are how other tools say that a clip lacks the modality. −inf in
        audio, the logarithm of silence, is 0, as their readers have it.
        """
        rows = self.rows(number)
        with np.errstate(over="ignore"):
            values = rows.astype(np.float32)
        if self.modality == "audio":
            values[np.isneginf(values)] = 0
        if not np.isfinite(values).all():
            step = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            raise ClipError(f"holds NaN or infinity, first at step {step}")
        if not values.any():
            raise MissingModalityError("only zeros" if len(values) else "no steps")
        return values


@dataclass(frozen=True)
class FeatureSet:
    """A file or folder that was read. features: by what they are called there.

    digest: over the whole content. notes: what the user should know of it. declared: the targets
    that it says it has. Raises UserError where two clips have one id.
    """

    path: Path
    format: str
    digest: str
    clips: tuple[Clip, ...]
    features: Mapping[str, Feature]
    notes: tuple[str, ...] = ()
    declared: tuple[Target, ...] = ()

    def __post_init__(self) -> None:
        first: dict[str, str] = {}
        for clip in self.clips:
            require_new(first, f"{self.path}, {clip.split}", clip.id)

    def with_targets(self) -> FeatureSet:
        """With those that the user declares beside it; what no target takes is left out.

        Raises UserError for a targets.yaml that can't be right.
        """
        table = self.path / "label" if self.path.is_dir() else self.path
        declared = read_targets(table) or self.declared
        clips, notes = within(self.clips, declared)
        return replace(self, clips=clips, declared=declared, notes=(*self.notes, *notes))
