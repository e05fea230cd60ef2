"""Mel-frequency cepstral coefficients with their first and second differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydantic import Field as PydanticField
from pydantic import model_validator

from pipeline.media.waveform import RATE_HZ
from pipeline.stage.about import About
from pipeline.stage.field import SAMPLES, Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings
from pipeline.stage.words import OF_SOUND, Sampled, SampledExtractor

MOST_FILTERS = 10_000  # 660 MB with the longest window


class Mfcc(SampledExtractor):
    """Coefficients, Δ and ΔΔ by python_speech_features, one row a hop, sampled to `steps`.

    Sound shorter than a window gives one row, from the window filled up with zeros. The first
    coefficient is the log energy. Source: Davis and Mermelstein 1980; Furui 1986 for Δ.
    """

    version = 1
    about = About("MFCC", "MFCC", "audio", channel=1, panel="differences")
    takes = {"samples": SAMPLES}
    with_words = OF_SOUND

    class Settings(StageSettings):
        coefficients: int = PydanticField(13, ge=1, le=MOST_FILTERS)
        """Number of cepstral coefficients, at most `filters`; Δ and ΔΔ triple the width."""

        filters: int = PydanticField(26, ge=1, le=MOST_FILTERS)
        """Number of mel bands."""

        window_ms: float = PydanticField(25.0, gt=0, le=1000)
        """Window length, in milliseconds."""

        hop_ms: float = PydanticField(10.0, ge=1, le=1000)
        """Hop from one row to the next, in milliseconds."""

        delta_window: int = PydanticField(2, ge=1, le=1000)
        """Rows on each side that a delta is computed from."""

        sampling: Sampled = "uniform"
        """How rows become `steps`: picked evenly, means of equal windows, or means of words, which
        the stage `alignment` that it needs finds."""

        @model_validator(mode="after")
        def _enough_filters(self) -> Any:
            if self.coefficients > self.filters:
                raise ValueError(
                    f"{self.coefficients} coefficients need as many filters, not {self.filters}"
                )
            return self

    settings: Settings

    def writes(self) -> dict[str, Field]:
        return {"features": Field(("step", 3 * self.settings.coefficients), "float32")}

    def portion(self) -> int:
        return 1

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        for inputs in batch:
            every = self.rows(inputs.rows["samples"])
            heard_s = self.middles_s(len(every)) + inputs.rows.get("late_s", 0.0)
            rows = self.in_steps(every, inputs, heard_s)
            yield ClipResult.ok({"features": rows}, length=len(rows))

    def rows(self, samples: np.ndarray) -> np.ndarray:
        """Every row of int16 `samples` [n]: float32 [1 + ceil((n − window) / hop), 3 · width]."""
        from python_speech_features import delta, mfcc

        s = self.settings
        window_s = s.window_ms / 1000
        static = mfcc(
            samples,
            samplerate=RATE_HZ,
            winlen=window_s,
            winstep=s.hop_ms / 1000,
            numcep=s.coefficients,
            nfilt=s.filters,
            nfft=_power_of_two(window_s * RATE_HZ),
        )
        first = delta(static, s.delta_window)
        second = delta(first, s.delta_window)
        return np.concatenate([static, first, second], axis=1).astype(np.float32)

    def middles_s(self, rows: int) -> np.ndarray:
        """When the middle of each row's window is heard, in s from the first sample on."""
        return (np.arange(rows) * self.settings.hop_ms + self.settings.window_ms / 2) / 1000


def _power_of_two(at_least: float) -> int:
    return 1 << max(round(at_least) - 1, 1).bit_length()
