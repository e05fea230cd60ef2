"""Any sound to what speech features are made from: mono, 16 kHz, 16 bit, peak at −3 dBFS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import log10
from typing import Literal

import numpy as np
from pydantic import Field as PydanticField
from pydantic import model_validator

from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.dataset.span import WHOLE
from pipeline.errors import ClipError, MissingModalityError
from pipeline.io.hashing import seed_of
from pipeline.media.limits import SOUND_LIMIT_GB, SOUND_LIMIT_S
from pipeline.media.noise import Kind, noisy
from pipeline.media.waveform import RATE_HZ, SILENCE, normalised, placed, resampled
from pipeline.stage.about import About
from pipeline.stage.extractor import Extractor
from pipeline.stage.field import SAMPLES, Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, runtime, time_limit, unless_default

CLIPS = 8  # that a thread takes at once


class Augment(StageSettings):
    """What is added to a clip's sound; nothing by default."""

    snr_db: float | None = PydanticField(None, ge=-60, le=60)
    """Mean square of the sound over that of the noise, in dB; null for no noise."""

    noise: Kind = "white"
    """See `media.noise`."""

    @model_validator(mode="after")
    def _meant(self) -> Augment:
        if self.snr_db is None and self.noise != "white":
            raise ValueError("noise does nothing without snr_db")
        return self


class Audio(Extractor):
    """Mean of the channels → 16 kHz → the picture's time span → peak normalisation → 16 bit.

    Rows: samples int16 [n]; duration_s; peak_dbfs, the peak before normalisation, which the
    samples no longer tell; begins_s, when sample 0 is heard on the clock of its file; late_s, the
    same on the clock of all stages, where zero is the first picture shown, or else the first
    sample: 0, but with `span: sound`. Silence stays silence: samples are zero, with a note.
    Source: Zhu and Yu, section III-A (−3 dB, 16 kHz, 16-bit mono).
    """

    version = 2
    about = About("Audio", panel="sound")
    reads = frozenset({"video", "audio"})
    uses_steps = False

    class Settings(StageSettings):
        level_dbfs: float = PydanticField(-3.0, ge=-60.0, le=-0.1)
        """Target level of the peak, in dB of full scale."""

        span: Literal["video", "sound"] = "video"
        """`video` places sample 0 at the first picture and ends with the last one, so that visual
        and audio steps cover the same time: sound is trimmed, or padded with silence. A separate
        audio file is taken to begin with the picture; where its video can't be read it is kept
        whole, with a note. `sound` keeps all of the sound as it is."""

        augment: Augment = unless_default(Augment())
        """`{snr_db: 10, noise: pink}`: noise over all of the clip, so many dB (−60 to 60) below the
        sound in power, for experiments. `white` (the default), `pink` (3 dB less an octave) or
        `speech_shaped` (the clip's own spectrum, phases at random); drawn by the clip's id. The
        sound's power is its mean square without silence before and after it; a silent clip stays
        silent. The peak of both together is brought to `level_dbfs`, so that nothing clips."""

        time_limit_s: float = time_limit()

        sound_limit_s: float = runtime(SOUND_LIMIT_S, gt=0)
        """Longest sound of one clip, in seconds; longer sound fails before it is resampled."""

        sound_limit_gb: float = runtime(SOUND_LIMIT_GB, gt=0)
        """Most sound of one clip, all channels decoded, in GB of memory; more fails."""

    settings: Settings

    def writes(self) -> dict[str, Field]:
        return {
            "samples": SAMPLES,
            "duration_s": Field((), "float32", "s"),
            "peak_dbfs": Field((), "float32", "dBFS before normalisation"),
            "begins_s": Field((), "float64", "s"),
            "late_s": Field((), "float64", "s"),
        }

    def portion(self) -> int:
        """Spans of one file, side by side, are decoded in one pass."""
        return CLIPS

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        with media.SoundReader() as reader:
            for inputs in batch:
                try:
                    yield self._heard(inputs.clip, reader)
                except ClipError as error:
                    yield ClipResult.of(error)

    def _heard(self, clip: Clip, reader: media.SoundReader) -> ClipResult:
        if clip.sound is None:
            raise MissingModalityError("no media")
        settings = self.settings
        limits = media.SoundLimits(settings.sound_limit_s, settings.sound_limit_gb)
        if clip.audio is None and clip.span == WHOLE and not media.is_audio_file(clip.sound):
            heard, pictures = reader.read_with_pictures(clip.sound, settings.time_limit_s, limits)
            shown, note = _told(pictures.shown) if pictures else (None, "")
        else:
            shown, note = _told(partial(self._shown, clip))
            zero_s = shown.zero_s if shown and not clip.audio else None
            heard = reader.read(clip.sound, settings.time_limit_s, limits, clip.span, zero_s)
        mono = resampled(heard.samples.mean(axis=0), heard.rate_hz)
        begins_s, late_s = heard.start_s, 0.0
        if shown:
            # A separate audio file is taken to begin with the picture.
            late_s = (shown.zero_s + clip.span.start_s if clip.audio else begins_s) - shown.begins_s
            if self.settings.span == "video":
                mono = placed(mono, late_s, shown.ends_s - shown.begins_s)
                begins_s, late_s = begins_s - late_s, 0.0
        peak = float(np.abs(mono).max())
        augment = settings.augment
        if augment.snr_db is not None:
            mono = noisy(mono, augment.snr_db, augment.noise, seed_of(clip.id))
        rows = {
            "samples": normalised(mono, settings.level_dbfs),
            "duration_s": len(mono) / RATE_HZ,
            "peak_dbfs": 20 * log10(max(peak, SILENCE)),
            "begins_s": begins_s,
            "late_s": late_s,
        }
        typed = {name: np.asarray(rows[name], field.dtype) for name, field in self.writes().items()}
        silence = "" if typed["samples"].any() else "digital silence"
        told = "; ".join(filter(None, (heard.note, note, silence)))
        return ClipResult.ok(typed, length=1, note=told, doubt=heard.doubt)

    def _shown(self, clip: Clip) -> media.Shown | None:
        if clip.video is None:
            return None
        return media.video_span(clip.video, self.settings.time_limit_s, clip.span)


def _told(shown: Callable[[], media.Shown | None]) -> tuple[media.Shown | None, str]:
    """When a clip's pictures are shown, if it has any, and what to tell of it."""
    try:
        return shown(), ""
    except media.BeyondEndError:
        raise
    except ClipError as error:
        return None, f"not trimmed to the picture: {error}"
