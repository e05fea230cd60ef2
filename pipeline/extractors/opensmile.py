"""Acoustic feature sets of openSMILE, through audEERING's package of that name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import model_validator

from pipeline.media.waveform import FULL_SCALE, RATE_HZ
from pipeline.stage.about import About
from pipeline.stage.field import SAMPLES, Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings
from pipeline.stage.words import OF_SOUND, Sampled, SampledExtractor, parts_s
from pipeline.weights.registry import load_once

FeatureSet = Literal[
    "eGeMAPSv02", "GeMAPSv01b", "ComParE_2016", "emobase", "IS09", "IS10", "IS11", "IS12", "IS13"
]
Level = Literal["functionals", "lld"]
# The package has a name of its own for each level.
LEVELS: dict[Level, str] = {"functionals": "Functionals", "lld": "LowLevelDescriptors"}
# Written down here, so that a run can be planned without the package.
WIDTHS: dict[FeatureSet, dict[Level, int]] = {
    "eGeMAPSv02": {"functionals": 88, "lld": 25},
    "GeMAPSv01b": {"functionals": 62, "lld": 18},
    "ComParE_2016": {"functionals": 6373, "lld": 65},
    "emobase": {"functionals": 988, "lld": 26},
    "IS09": {"functionals": 384, "lld": 16},
    "IS10": {"functionals": 1582, "lld": 38},
    "IS11": {"functionals": 4368, "lld": 59},
    "IS12": {"functionals": 6125, "lld": 64},
    "IS13": {"functionals": 6373, "lld": 65},
}


class Opensmile(SampledExtractor):
    """openSMILE's functionals, one step a clip, or its descriptors, one row per 10 ms.

    The values are the package's own, in its order (`opensmile.Smile(...).feature_names`); what has
    no value, such as the pitch of unvoiced speech, is 0. Sound that is too short for one row
    (60 ms of eGeMAPS and ComParE) fails.

    Source: Eyben et al. 2010; Eyben et al. 2016 for GeMAPS; Schuller et al. 2016 for ComParE.
    """

    version = 1
    about = About(
        "openSMILE",
        modality="audio",
        terms="openSMILE is for research and other non-commercial use (audEERING's licence)",
    )
    takes = {"samples": SAMPLES}
    with_words = OF_SOUND
    requires = {"opensmile": "opensmile"}

    class Settings(StageSettings):
        feature_set: FeatureSet = "eGeMAPSv02"
        """One of the sets that come with openSMILE."""

        level: Level = "functionals"
        """`functionals`: statistics over the clip, one step; `lld`: low-level descriptors, one row
        per 10 ms."""

        sampling: Sampled = "uniform"
        """How rows become `steps`: picked evenly, means of equal windows, or means of words, which
        the stage `alignment` that it needs finds."""

        @model_validator(mode="after")
        def _has_rows(self) -> Opensmile.Settings:
            if self.sampling == "words" and self.level == "functionals":
                raise ValueError(
                    "functionals are one row a clip; `sampling: words` needs level lld"
                )
            return self

    settings: Settings

    def writes(self) -> dict[str, Field]:
        width = WIDTHS[self.settings.feature_set][self.settings.level]
        return {"features": Field(("step", width), "float32")}

    def portion(self) -> int:
        return 1

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        for inputs in batch:
            samples = inputs.rows["samples"]
            rows = self.rows(samples)
            if np.isnan(rows).all():
                length = f"{1000 * len(samples) / RATE_HZ:.0f} ms"
                reason = f"its sound of {length} is too short for {self.settings.feature_set}"
                yield ClipResult.failed(reason)
                continue
            heard_s = parts_s(len(rows), len(samples)) + inputs.rows.get("late_s", 0.0)
            rows = self.in_steps(rows, inputs, heard_s)
            yield ClipResult.ok({"features": rows}, length=len(rows))

    def rows(self, samples: np.ndarray) -> np.ndarray:
        """Every row of int16 `samples` [n]: float32 [rows, width], NaN where they are too few."""
        set, level = self.settings.feature_set, self.settings.level
        smile = load_once(("opensmile", set, level), lambda: _smile(set, level))
        signal = samples.astype(np.float32) / FULL_SCALE
        return np.asarray(smile(signal, RATE_HZ)[0].T, np.float32)


def _smile(set: FeatureSet, level: Level) -> Any:
    import warnings

    import opensmile

    # Of too short sound, which is told as the clip's reason.
    warnings.filterwarnings("ignore", "Segment too short", UserWarning)
    return opensmile.Smile(opensmile.FeatureSet[set], opensmile.FeatureLevel[LEVELS[level]])
