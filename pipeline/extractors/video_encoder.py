"""What a face does over time, to a video encoder such as VideoMAE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.encoders import huggingface, video_encoder
from pipeline.encoders.layers import Layer
from pipeline.encoders.precision import Precision
from pipeline.faces.align import SIZE_PX
from pipeline.stage.about import About
from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, by_content, runtime, unless_default
from pipeline.stage.steps import to_steps
from pipeline.system.device import Device, device_of
from pipeline.weights.repository import VIDEO
from pipeline.weights.resolve import Weights, find


class VideoEncoder(Extractor):
    """The hidden states of a VideoMAE, ViViT or TimeSformer over a clip's faces, along time.

    The faces, at most `steps` of them, are sampled evenly to as many as the network takes (16 for
    VideoMAE) and prepared as its preprocessor_config.json says. A step is the mean over places of
    what the network makes of two faces (one for TimeSformer): VideoMAE gives 8 steps.
    Source: Tong et al. 2022 (VideoMAE), Arnab et al. 2021 (ViViT), Bertasius et al. 2021.
    """

    version = 1
    about = About(
        "Faces over time",
        modality="visual",
        licences={"MCG-NJU/videomae-base": "CC BY-NC 4.0, not commercial"},
    )
    takes = {"images": Field(("step", SIZE_PX, SIZE_PX, 3), "uint8")}
    files = VIDEO

    class Settings(StageSettings):
        weights: str = by_content("MCG-NJU/videomae-base")
        """A hub id, a folder in the hub's layout, or `random`."""

        revision: str | None = by_content(None)
        """Commit, branch or tag on the hub; null for the latest."""

        layer: Layer = "last"
        """Which hidden states: `last`, the number of a layer as transformers counts them (0 is
        what goes into the first, -1 the last one), or `[first, last]`, whose mean is taken."""

        precision: Precision = unless_default("float32")
        """Of products: tf32 (NVIDIA GPUs) and bfloat16 are mostly faster and less accurate."""

        device: Device = runtime("auto")
        """`auto` (cuda if available), `cpu`, `cuda`, `cuda:1` …"""

    settings: Settings

    def writes(self) -> dict[str, Field]:
        layer = self.settings.layer
        width = huggingface.width(
            self.weights(), video_encoder.RANDOM_WIDTH, layer, *video_encoder.KINDS
        )
        return {"features": Field(("step", width), "float32")}

    def weights(self) -> Weights:
        return find(self.settings.weights, self.files, self.settings.revision)

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        """A clip at a time: its hundreds of tokens keep a GPU busy by themselves."""
        settings = self.settings
        device = device_of(settings.device)
        network = video_encoder.loaded(self.weights(), device, settings.precision)
        for inputs in batch:
            states = network.states(inputs.rows["images"], settings.layer)
            rows = to_steps(states, steps=self.steps)
            yield ClipResult.ok({"features": rows}, length=len(rows))
