"""Any sound to what speech features are made from: mono, 16 kHz, 16 bit, peak at −3 dBFS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log10
from typing import Literal

import numpy as np
from pydantic import Field as PydanticField

from pipeline import media
from pipeline.clip import Clip
from pipeline.errors import ClipError, MissingModalityError
from pipeline.extractor import ClipInputs, ClipResult, Extractor, StageSettings
from pipeline.field import Field
from pipeline.media.time_limit import time_limit
from pipeline.media.waveform import RATE_HZ, SAMPLES, SILENCE, normalised, placed, resampled


class Audio(Extractor):
    """Mean of the channels → 16 kHz → the picture's time span → peak normalisation → 16 bit.

    Rows: samples int16 [n]; duration_s; peak_dbfs, the peak before normalisation, which the
    samples no longer tell. Silence stays silence: samples are zero, with a note.
    Source: Zhu and Yu, section III-A (−3 dB, 16 kHz, 16-bit mono).
    """

    version = 1
    reads = frozenset({"video", "audio"})
    uses_steps = False

    class Settings(StageSettings):
        level_dbfs: float = PydanticField(-3.0, ge=-60.0, le=-0.1)
        """The level to which the peak is brought, in dB of full scale."""

        span: Literal["video", "sound"] = "video"
        """`video` places sample 0 at the first picture and ends with the last one, so that visual
        and audio steps cover the same time: sound is cut, or filled up with silence. A separate
        audio file is taken to begin with the picture; where its video can't be read it is kept
        whole, with a note. `sound` keeps all of the sound as it is."""

        time_limit_s: float = time_limit()

    settings: Settings

    def writes(self) -> dict[str, Field]:
        """Samples, and two numbers a clip."""
        return {
            "samples": SAMPLES,
            "duration_s": Field((), "float32", "s"),
            "peak_dbfs": Field((), "float32", "dBFS before normalisation"),
        }

    def portion(self) -> int:
        """Each clip by itself."""
        return 1

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        """Decode and normalise each clip's sound."""
        for inputs in batch:
            try:
                yield self._heard(inputs.clip)
            except ClipError as error:
                yield ClipResult.of(error)

    def _heard(self, clip: Clip) -> ClipResult:
        if clip.sound is None:
            raise MissingModalityError("no media")
        heard = media.sound(clip.sound, self.settings.time_limit_s)
        mono = resampled(heard.samples.mean(axis=0), heard.rate_hz)
        mono, note = self._spanned(mono, heard.start_s, clip)
        peak = float(np.abs(mono).max())
        rows = {
            "samples": normalised(mono, self.settings.level_dbfs),
            "duration_s": np.asarray(len(mono) / RATE_HZ, np.float32),
            "peak_dbfs": np.asarray(20 * log10(max(peak, SILENCE)), np.float32),
        }
        silence = "digital silence" if peak < SILENCE else ""
        notes = [heard.note, note, silence]
        told = "; ".join(filter(None, notes))
        return ClipResult.ok(rows, length=1, note=told, doubt=heard.doubt)

    def _spanned(self, mono: np.ndarray, start_s: float, clip: Clip) -> tuple[np.ndarray, str]:
        """The samples that cover the picture's span, and what to tell the user about it."""
        if self.settings.span == "sound" or clip.video is None:
            return mono, ""
        try:
            span = media.picture_span(clip.video, self.settings.time_limit_s)
        except ClipError as error:
            return mono, f"not cut to the picture: {error}"
        if span is None:
            return mono, ""
        begins_s, ends_s = span
        late_s = 0.0 if clip.audio else start_s - begins_s
        return placed(mono, late_s, ends_s - begins_s), ""
