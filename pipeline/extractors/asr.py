"""What is said in a clip: its own transcript, or else what a Whisper hears."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.dataset.clip import Clip
from pipeline.encoders import huggingface, whisper
from pipeline.errors import ClipError, MissingModalityError
from pipeline.media.waveform import RATE_HZ
from pipeline.stage.extractor import Extractor
from pipeline.stage.field import SAMPLES, Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, by_content, runtime
from pipeline.stage.transcript import TRANSCRIPT, written
from pipeline.system.device import Device, device_of
from pipeline.weights.repository import SPEECH_TO_TEXT
from pipeline.weights.resolve import Source, Weights, find

BLOCK = RATE_HZ // 10  # the quietest tenth of a second is where sound that is too long is cut
SEARCHED = 5 * RATE_HZ  # from the last so many samples of a window


class Asr(Extractor):
    """A clip with a transcript keeps it, and its sound is not even read.

    Each word is the most probable one (greedy), so that the same sound gives the same words. Sound
    that is longer than the model's window, 30 s, goes through in several, cut where it is quiet.
    Source: Radford et al. 2022.
    """

    version = 1
    reads = frozenset({"text"})
    takes = {"samples": SAMPLES}
    uses_steps = False

    class Settings(StageSettings):
        weights: str = by_content("openai/whisper-small")
        """A hub id or a folder in the hub's layout of a Whisper, or `random`."""

        revision: str | None = by_content(None)
        """Commit, branch or tag of a hub repository; null: its newest."""

        language: str | None = None
        """Of what is said, as in `en` or `zh`; null: heard, window by window."""

        batch_size: int = runtime(8, ge=1)
        """Windows of sound that go through together."""

        device: Device = runtime("auto")
        """`auto` (cuda where there is one), `cpu`, `cuda`, `cuda:1` …"""

    settings: Settings

    def writes(self) -> dict[str, Field]:
        """The transcript as UTF-8."""
        return {"transcript": TRANSCRIPT}

    def weights(self) -> Weights:
        """Network, tokenizer and what turns sound to spectra."""
        return find(self.settings.weights, SPEECH_TO_TEXT, self.settings.revision)

    def models(self) -> list[Source]:
        return [Source(self.settings.weights, SPEECH_TO_TEXT, self.settings.revision)]

    def does_without(self, clip: Clip) -> bool:
        """A clip with a transcript needs no sound."""
        return bool(clip.text.strip())

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        """Nothing is loaded where all clips have a transcript."""
        told = [inputs.clip.text if self.does_without(inputs.clip) else None for inputs in batch]
        silent = [inputs for inputs, text in zip(batch, told, strict=True) if text is None]
        heard = iter(self._heard(silent) if silent else [])
        for text in told:
            try:
                said = _some(next(heard)) if text is None else text
                yield ClipResult.ok({"transcript": written(said)}, length=1)
            except ClipError as error:
                yield ClipResult.of(error)

    def _heard(self, batch: Sequence[ClipInputs]) -> list[str]:
        """What is said in each clip; windows of several clips go through together."""
        device = device_of(self.settings.device)
        network = whisper.loaded(self.weights(), device)
        network.require(self.settings.language)
        cut = [windows(inputs.rows["samples"], network.window) for inputs in batch]
        parts = [part for of_clip in cut for part in of_clip]
        size = huggingface.batch_size(self.settings.batch_size, device)
        texts = iter(
            text
            for start in range(0, len(parts), size)
            for text in network.texts(parts[start : start + size], self.settings.language)
        )
        return [" ".join(filter(None, [next(texts) for _ in of_clip])) for of_clip in cut]


def windows(samples: np.ndarray, longest: int) -> list[np.ndarray]:
    """`samples` [n] in parts of at most `longest`, cut where it is quietest near the end of each.

    Silence alone is no part.
    """
    parts = []
    while len(samples) > longest:
        searched = samples[longest - SEARCHED : longest].astype(np.float32)
        quietest = int(np.abs(searched).reshape(-1, BLOCK).mean(axis=1).argmin())
        stop = longest - SEARCHED + quietest * BLOCK + BLOCK // 2
        parts.append(samples[:stop])
        samples = samples[stop:]
    return [part for part in [*parts, samples] if part.any()]


def _some(text: str) -> str:
    if not text:
        raise MissingModalityError("no words were heard")
    return text
