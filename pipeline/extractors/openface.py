"""Gaze, pose, landmarks, face shape and action units by OpenFace, from the frames of a clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
from pydantic import Field as PydanticField

from pipeline.encoders import openface
from pipeline.encoders.openface_columns import COLUMNS, Group
from pipeline.errors import ClipError, MissingModalityError
from pipeline.stage.about import About
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, code, in_order
from pipeline.stage.words import OF_FRAMES, Sampled, SampledExtractor
from pipeline.weights.resolve import Source, Weights, find

ENOUGH = 0.25  # of a clip's frames; with a face in fewer it is doubtful


class Openface(SampledExtractor):
    """Columns of OpenFace 2's FeatureExtraction, one row per frame in which it tracks a face.

    All groups are the 709 columns of CH-SIMS, in their order, whose authors' script (thuiar/MMSA,
    getFeature.py) runs FeatureExtraction over pictures of the clip and takes the mean of every 5
    rows (`pool: 5`). Their pictures are faces of 224 px that MTCNN found, 30 a second; here they
    are the whole frames, so that pose and landmarks are those of the camera's picture. Frames in
    which no face is tracked are left out; theirs are counted in.

    Values and units are OpenFace's own: radians, millimetres and px, intensities of 0..5.
    Source: Baltrušaitis et al. 2018; Yu et al. 2020 for the recipe.
    """

    version = 1
    about = About(
        "OpenFace",
        modality="visual",
        terms="OpenFace is for academic and other non-commercial use (its own licence)",
    )
    takes = {"frames": Field(("frame", "height", "width", 3), "uint8", ragged=True)}
    with_words = OF_FRAMES

    class Settings(StageSettings):
        groups: Annotated[tuple[Group, ...], in_order(COLUMNS)] = PydanticField(
            tuple(COLUMNS), min_length=1
        )
        """Which columns; they come in OpenFace's order, which is the one here."""

        pool: int = PydanticField(1, ge=1)
        """How many rows one after the other are averaged to one; CH-SIMS' features have 5."""

        sampling: Sampled = "uniform"
        """How rows become `steps`: picked evenly, means of equal windows, or means of words, which
        the stage `alignment` that it needs finds."""

        binary: str | None = code("run")
        """OpenFace's FeatureExtraction: a path, or a name on PATH; null for that name."""

    settings: Settings

    def writes(self) -> dict[str, Field]:
        width = sum(len(COLUMNS[group]) for group in self.settings.groups)
        return {
            "features": Field(("step", width), "float32"),
            "times": Field(("step",), "float64", unit="s"),
            "confidence": Field(("step",), "float32", unit="0..1, OpenFace's own"),
        }

    def weights(self) -> Weights:
        """OpenFace's program."""
        return find(str(openface.program(self.settings.binary or openface.PROGRAMS[0])))

    def models(self) -> list[Source]:
        return []

    def portion(self) -> int:
        return 1

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        for inputs in batch:
            try:
                yield self._result(inputs)
            except ClipError as error:
                yield ClipResult.of(error)

    def _result(self, inputs: ClipInputs) -> ClipResult:
        frames, program = inputs.rows["frames"], self.weights().path
        assert program is not None
        names = [name for group in self.settings.groups for name in COLUMNS[group]]
        times, found = openface.tracked(program, frames, ["confidence", *names])
        seen = f"OpenFace saw a face in {len(found)} of {len(times)} frames"
        if not found:
            raise MissingModalityError(seen)
        rows = np.c_[[times[frame] for frame in found], np.stack(list(found.values()))]
        rows = _pooled(rows, self.settings.pool)
        rows = self.in_steps(rows, inputs, rows[:, 0])
        written = {
            "features": rows[:, 2:].astype(np.float32),
            "times": rows[:, 0],
            "confidence": rows[:, 1].astype(np.float32),
        }
        doubt = seen if len(found) < ENOUGH * len(times) else ""
        return ClipResult.ok(written, length=len(rows), note=frames.note, doubt=doubt)


def _pooled(rows: np.ndarray, size: int) -> np.ndarray:
    """The means of every `size` rows of [n, width]; the last may be of fewer."""
    starts = np.arange(0, len(rows), size)
    counts = np.diff([*starts, len(rows)])
    return np.asarray(np.add.reduceat(rows, starts) / counts[:, None])
