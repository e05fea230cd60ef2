"""Zero crossings, pitch, energy, MFCC and chroma by librosa, as CH-SIMS' features were made."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field as PydanticField
from pydantic import model_validator

from pipeline.media.waveform import FULL_SCALE
from pipeline.media.waveform import RATE_HZ as GIVEN_HZ
from pipeline.stage.about import About
from pipeline.stage.field import SAMPLES, Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, in_order
from pipeline.stage.words import OF_SOUND, Sampled, SampledExtractor
from pipeline.weights.registry import load_once

RATE_HZ = 22_050  # what librosa loads sound at
HOP = 512  # samples from one frame to the next: 23.2 ms
Group = Literal["zero_crossings", "f0", "energy", "mfcc", "chroma"]
WIDTHS: dict[Group, int] = {"zero_crossings": 1, "f0": 1, "energy": 1, "mfcc": 20, "chroma": 12}


class Prosody(SampledExtractor):
    """Groups of librosa's features side by side, one row per 512 samples at 22,050 Hz.

    The default is the 33 columns of CH-SIMS by its authors' script (thuiar/MMSA, getFeature.py):
    the rate of zero crossings, which their paper calls log F0; 20 MFCC on HTK's mel scale; 12
    chroma of a constant-Q transform. `f0` is the natural logarithm of pYIN's pitch in Hz, 0 in
    unvoiced frames; `energy` is the root mean square. Row `i` is centred on `i · 512 / 22050` s.

    Their sound has its own level and bandwidth; ours is that of `audio`, 16 kHz with its peak at
    −3 dBFS. The level moves `energy` and the first MFCC alone.

    Source: Yu et al. 2020; McFee et al. 2015 for librosa; Mauch and Dixon 2014 for pYIN.
    """

    version = 1
    about = About("Prosody", modality="audio")
    takes = {"samples": SAMPLES}
    with_words = OF_SOUND
    requires = {"librosa": "prosody"}

    class Settings(StageSettings):
        groups: Annotated[tuple[Group, ...], in_order(WIDTHS)] = PydanticField(
            ("zero_crossings", "mfcc", "chroma"), min_length=1
        )
        """Which; they come in the order zero_crossings, f0, energy, mfcc, chroma."""

        f0_min_hz: float = PydanticField(60.0, ge=30)
        """Lowest pitch that `f0` looks for, in Hz."""

        f0_max_hz: float = PydanticField(500.0, le=RATE_HZ / 4)
        """Highest pitch that `f0` looks for, in Hz."""

        sampling: Sampled = "uniform"
        """How rows become `steps`: picked evenly, means of equal windows, or means of words, which
        the stage `alignment` that it needs finds."""

        @model_validator(mode="after")
        def _has_range(self) -> Any:
            if self.f0_min_hz >= self.f0_max_hz:
                raise ValueError(f"f0_min_hz {self.f0_min_hz} is not below {self.f0_max_hz}")
            return self

    settings: Settings

    def writes(self) -> dict[str, Field]:
        width = sum(WIDTHS[group] for group in self.settings.groups)
        return {"features": Field(("step", width), "float32")}

    def portion(self) -> int:
        return 1

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        for inputs in batch:
            every = self.rows(inputs.rows["samples"])
            heard_s = np.arange(len(every)) * (HOP / RATE_HZ) + inputs.rows.get("late_s", 0.0)
            rows = self.in_steps(every, inputs, heard_s)
            yield ClipResult.ok({"features": rows}, length=len(rows))

    def rows(self, samples: np.ndarray) -> np.ndarray:
        """Every row of int16 `samples` [n]: float32 [1 + resampled n // 512, width]."""
        librosa = load_once("librosa", _librosa)
        feature = librosa.feature
        y = samples.astype(np.float32) / FULL_SCALE
        y = librosa.resample(y, orig_sr=GIVEN_HZ, target_sr=RATE_HZ)
        made: dict[Group, Callable[[], np.ndarray]] = {
            "zero_crossings": lambda: feature.zero_crossing_rate(y, hop_length=HOP),
            "f0": lambda: self._log_f0(librosa, y),
            "energy": lambda: feature.rms(y=y, hop_length=HOP),
            "mfcc": lambda: feature.mfcc(y=y, sr=RATE_HZ, hop_length=HOP, htk=True),
            "chroma": lambda: feature.chroma_cqt(y=y, sr=RATE_HZ, hop_length=HOP),
        }
        rows = [made[group]() for group in self.settings.groups]
        return np.concatenate(rows).T.astype(np.float32)

    def _log_f0(self, librosa: ModuleType, y: np.ndarray) -> np.ndarray:
        s = self.settings
        hz, _, _ = librosa.pyin(
            y, fmin=s.f0_min_hz, fmax=s.f0_max_hz, sr=RATE_HZ, hop_length=HOP, fill_na=1.0
        )
        return np.log(hz)[None]  # of 1 where there is no voice: 0


def _librosa() -> ModuleType:
    # numba, which it needs, takes seconds to load.
    import librosa

    # Of sound that is shorter than a window, or silent.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"librosa\.")
    return librosa
