"""What is said in a clip: its own transcript, or else what a Whisper hears."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.dataset.clip import Clip
from pipeline.encoders import whisper
from pipeline.stage.about import About
from pipeline.stage.extractor import Extractor
from pipeline.stage.field import SAMPLES, Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, by_content, runtime
from pipeline.stage.transcript import TRANSCRIPT, written
from pipeline.system.device import Device, device_of
from pipeline.weights.repository import SPEECH_TO_TEXT
from pipeline.weights.resolve import Weights, find


class Asr(Extractor):
    """A clip with a transcript keeps it, and its sound is not even read.

    Each word is the most probable one (greedy), so that the same sound gives the same words. Sound
    that is longer than the model's window, 30 s, goes through in several, split where it is quiet.
    Source: Radford et al. 2022.
    """

    version = 1
    about = About(
        "Recognised speech", panel="transcript", licences={"openai/whisper-small": "Apache 2.0"}
    )
    reads = frozenset({"text"})
    takes = {"samples": SAMPLES}
    uses_steps = False
    files = SPEECH_TO_TEXT

    class Settings(StageSettings):
        weights: str = by_content("openai/whisper-small")
        """A hub id or a folder in the hub's layout of a Whisper, or `random`."""

        revision: str | None = by_content(None)
        """Commit, branch or tag on the hub; null for the latest."""

        language: str | None = None
        """Spoken language, such as `en` or `zh`; null to detect it in each window."""

        batch_size: int = runtime(8, ge=1)
        """Batch size in windows of sound, on a GPU; a CPU takes them one by one."""

        device: Device = runtime("auto")
        """`auto` (cuda if available), `cpu`, `cuda`, `cuda:1` …"""

    settings: Settings

    def writes(self) -> dict[str, Field]:
        return {"transcript": TRANSCRIPT}

    def weights(self) -> Weights:
        """Network, tokenizer and what turns sound to spectra."""
        return find(self.settings.weights, self.files, self.settings.revision)

    def does_without(self, clip: Clip) -> bool:
        return bool(clip.text.strip())

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        """Nothing is loaded where all clips have a transcript."""
        silent = [inputs for inputs in batch if not self.does_without(inputs.clip)]
        heard = iter(self._heard(silent) if silent else [])
        for inputs in batch:
            said = inputs.clip.text if self.does_without(inputs.clip) else next(heard)
            if said:
                yield ClipResult.ok({"transcript": written(said)}, length=1)
            else:
                yield ClipResult.missing("no words were heard")

    def _heard(self, batch: Sequence[ClipInputs]) -> list[str]:
        """What is said in each clip; windows of several clips go through together."""
        network = whisper.loaded(self.weights(), device_of(self.settings.device))
        sounds = [inputs.rows["samples"] for inputs in batch]
        return network.heard(sounds, self.settings.language, self.settings.batch_size)
