"""Speech as the hidden states of a Wav2Vec2, or of another encoder of speech."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field as PydanticField

from pipeline.encoders import huggingface, wav2vec2
from pipeline.encoders.engine import TORCH, Engine
from pipeline.encoders.layers import Layer
from pipeline.encoders.precision import Precision
from pipeline.media.waveform import RATE_HZ
from pipeline.stage.about import About
from pipeline.stage.field import SAMPLES, Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, by_content, runtime, unless_default
from pipeline.stage.words import OF_SOUND, Sampled, SampledExtractor, parts_s
from pipeline.system.device import Device, device_of
from pipeline.weights.repository import SOUND
from pipeline.weights.resolve import Weights, find


class Wav2vec2(SampledExtractor):
    """One row a frame (20 ms), sampled to `steps`; normalised as the checkpoint was trained.

    `weights` may be a Wav2Vec2, HuBERT, WavLM, w2v-BERT, Whisper …: see docs/encoders.md.
    A clip's rows do not depend on the batch it fell into: networks with layer norm take clips of
    similar length together, padded and masked; those with group norm, which counts the padding in,
    only clips of equal length. Sound shorter than one frame is filled up with zeros to one.
    Source: Baevski et al. 2020; Wagner et al. 2023 for the default weights.
    """

    version = 1
    about = About(
        "Audio features",
        "Wav2Vec2",
        "audio",
        channel=2,
        licences={
            "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim": (
                "CC BY-NC-SA 4.0, not commercial"
            ),
            "facebook/wav2vec2-base": "Apache 2.0",
        },
    )
    takes = {"samples": SAMPLES}
    with_words = OF_SOUND
    files = SOUND

    class Settings(StageSettings):
        weights: str = by_content("audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim")
        """A hub id, a folder in the hub's layout, or `random`."""

        revision: str | None = by_content(None)
        """Commit, branch or tag on the hub; null for the latest."""

        sampling: Sampled = "uniform"
        """How rows become `steps`: picked evenly, means of equal windows, or means of words, which
        the stage `alignment` that it needs finds."""

        window_s: float = PydanticField(60.0, ge=1.0)
        """Longer audio is processed in windows of this many seconds, so that memory stays
        bounded; attention does not look beyond a window."""

        layer: Layer = unless_default("last")
        """Which hidden states: `last`, the number of a layer as transformers counts them (0 is
        what goes into the first, -1 the last one), or `[first, last]`, whose mean is taken."""

        precision: Precision = unless_default("float32")
        """Of products: tf32 (NVIDIA GPUs) and bfloat16 are mostly faster and less accurate."""

        engine: Engine = runtime(TORCH)
        """What computes on a CPU in float32: `torch`, `onnxruntime`, `openvino`, or `auto`, the
        fastest that is installed; they agree to 1e-5. See docs/engines.md."""

        batch_size: int = runtime(16, ge=1)
        """Batch size in clips, on a GPU; a CPU takes them one by one."""

        device: Device = runtime("auto")
        """`auto` (cuda if available), `cpu`, `cuda`, `cuda:1` …"""

    settings: Settings

    def writes(self) -> dict[str, Field]:
        width, layer = wav2vec2.RANDOM_WIDTH, self.settings.layer
        width = huggingface.width(self.weights(), width, layer, *wav2vec2.KINDS)
        return {"features": Field(("step", width), "float32")}

    def weights(self) -> Weights:
        return find(self.settings.weights, self.files, self.settings.revision)

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        """Clips of similar length go through the network together."""
        settings = self.settings
        device, precision = device_of(settings.device), settings.precision
        network = wav2vec2.loaded(
            self.weights(), device, precision, settings.engine, settings.layer
        )
        sounds = [inputs.rows["samples"] for inputs in batch]
        window = round(settings.window_s * RATE_HZ)
        how = settings.layer, settings.batch_size
        found = network.states(sounds, window, *how, self.kept)
        for inputs, frames in zip(batch, found, strict=True):
            heard_s = parts_s(len(frames), len(inputs.rows["samples"]))
            rows = self.in_steps(frames, inputs, heard_s + inputs.rows.get("late_s", 0.0))
            yield ClipResult.ok({"features": rows}, length=len(rows))
