"""Where a face looks and what it feels: what `action_units` kept of its pass, as features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
from pydantic import Field as PydanticField

from pipeline.encoders.face_signals import FIELDS, Group
from pipeline.stage.about import About
from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, in_order


class FaceSignals(Extractor):
    """Groups of what `action_units` wrote by its setting `signals`, side by side.

    No network runs: `action_units` has these from its one pass over the faces.
    """

    version = 1
    about = About("Face signals", modality="visual")
    takes = FIELDS

    class Settings(StageSettings):
        groups: Annotated[tuple[Group, ...], in_order(FIELDS)] = PydanticField(
            ("gaze", "pose", "emotions", "affect"), min_length=1
        )
        """Which, of those in `signals` of the `action_units` that it needs; they come in the
        order gaze, pose, emotions, affect, blendshapes, mesh."""

    settings: Settings

    def __init__(self, settings: StageSettings, steps: int = 32) -> None:
        super().__init__(settings, steps)
        self.takes = {group: FIELDS[group] for group in self.settings.groups}

    def writes(self) -> dict[str, Field]:
        width = sum(field.width or 0 for field in self.takes.values())
        return {"features": Field(("step", width), "float32")}

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        for inputs in batch:
            rows = np.concatenate([inputs.rows[group] for group in self.takes], axis=1)
            yield ClipResult.ok({"features": rows}, length=len(rows))
