"""What a face looks like to any picture encoder of timm or transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field as PydanticField
from pydantic import PositiveFloat, model_validator

from pipeline.encoders.precision import Precision
from pipeline.faces.align import SIZE_PX
from pipeline.stage.about import About
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, by_content, runtime, unless_default
from pipeline.stage.words import OF_FACES, SampledExtractor
from pipeline.system.device import Device, device_of
from pipeline.weights.repository import PICTURE
from pipeline.weights.resolve import Weights, find

if TYPE_CHECKING:
    from pipeline.encoders.image_network import Asked

Rgb = tuple[float, float, float]


class ImageEncoder(SampledExtractor):
    """One vector of a picture encoder for every face, prepared as its checkpoint's config says.

    The checkpoint's config.json tells whose it is: timm's has an `architecture`, transformers' a
    `model_type`. Of one with several towers, such as CLIP, that for pictures is taken.

    With `pooling: own` the vector is what a classifier would read. timm: the network up to its
    classifier. transformers: `pooler_output`, which is the normalised class token of CLIP and
    DINOv2, an attention over all patches in SigLIP, and the mean over the map in ResNet, ConvNeXt,
    EfficientNet and Swin (normalised in ConvNeXt and Swin). ViT and DeiT: the normalised class
    token, since few checkpoints hold the layer that transformers puts on it.
    """

    version = 1
    about = About(
        "Face features",
        modality="visual",
        licences={"openai/clip-vit-base-patch32": "MIT (OpenAI's repository)"},
    )
    takes = {"images": Field(("step", SIZE_PX, SIZE_PX, 3), "uint8")}
    with_words = OF_FACES
    files = PICTURE

    class Settings(StageSettings):
        weights: str = by_content("openai/clip-vit-base-patch32")
        """A hub id or a folder in the layout of timm or transformers, or `random`; a checkpoint
        file where `architecture` is set."""

        revision: str | None = by_content(None)
        """Commit, branch or tag on the hub; null for the latest."""

        architecture: str | None = None
        """timm's name of the network in a checkpoint file; null: config.json says it."""

        layer: int | tuple[int, int] | None = None
        """The hidden state that is taken, as its library counts them (-1: the last), or the first
        and the last of those whose mean is; null: the network's output."""

        pooling: Literal["own", "cls", "mean"] = "own"
        """What the network itself makes of a face, its class token, or the mean of its patches."""

        input_px: int | None = PydanticField(None, ge=32, le=1024)
        """Side of the square that the network sees; null: as the checkpoint's config says, as for
        the four below."""

        crop: bool = True
        """Whether the edge is cut off where the config does that; false: all of the face is
        resized to `input_px`."""

        interpolation: Literal["bilinear", "bicubic"] | None = None
        """How faces are resized."""

        mean: Rgb | None = None
        """Subtracted from red, green and blue of 0..1."""

        std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
        """What red, green and blue are divided by then."""

        sampling: Literal["uniform", "words"] = unless_default("uniform")
        """A step for each face that `faces` picked, or the mean of those in each word, which the
        stage `alignment` that it needs finds."""

        precision: Precision = unless_default("float32")
        """Of products: tf32 (NVIDIA GPUs) and bfloat16 are mostly faster and less accurate."""

        device: Device = runtime("auto")
        """`auto` (cuda if available), `cpu`, `cuda`, `cuda:1` …"""

        @model_validator(mode="after")
        def _layers_in_order(self) -> ImageEncoder.Settings:
            if self.layer is not None and self.pooling == "own":
                raise ValueError("`layer` needs `pooling` to be cls or mean")
            first, last = _ends(self.layer) or (0, 0)
            if first > last or (first < 0) != (last < 0):
                raise ValueError("`layer` is a number or [first, last], both counted from one end")
            return self

    settings: Settings

    def writes(self) -> dict[str, Field]:
        """As wide as the network and what is asked of it make it."""
        from pipeline.encoders import image_encoder

        width = image_encoder.width(self.weights(), self._asked())
        return {"features": Field(("step", width), "float32")}

    def weights(self) -> Weights:
        return find(self.settings.weights, self.files, self.settings.revision)

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        for inputs in batch:
            faces = self.features(inputs.rows["images"])
            rows = self.in_steps(faces, inputs, inputs.rows.get("times"))
            yield ClipResult.ok({"features": rows}, length=len(rows))

    def features(self, faces: np.ndarray) -> np.ndarray:
        """uint8 rgb `faces` [n, 112, 112, 3] of one clip to float32 [n, width]."""
        # torch and the libraries, which need seconds, are loaded where they are used.
        from pipeline.encoders import image_encoder

        asked, precision = self._asked(), self.settings.precision
        device = device_of(self.settings.device)
        network = image_encoder.loaded(self.weights(), asked, device, precision)
        return image_encoder.features(network, faces, asked, precision)

    def _asked(self) -> Asked:
        from pipeline.encoders.image_network import Asked

        said = self.settings
        return Asked(
            said.architecture, said.input_px, said.crop, said.interpolation, said.mean, said.std,
            _ends(said.layer), said.pooling,
        )  # fmt: skip


def _ends(layer: int | tuple[int, int] | None) -> tuple[int, int] | None:
    return (layer, layer) if isinstance(layer, int) else layer
