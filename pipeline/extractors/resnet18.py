"""What a face looks like to a ResNet18: the 512 values before its classifier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field as PydanticField

from pipeline.encoders import imagenet
from pipeline.encoders.engine import TORCH, Engine
from pipeline.encoders.precision import Precision
from pipeline.faces.align import SIZE_PX
from pipeline.stage.about import About
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, by_content, runtime, unless_default
from pipeline.stage.words import OF_FACES, SampledExtractor
from pipeline.system.device import Device, device_of
from pipeline.weights.checkpoint import find_file
from pipeline.weights.repository import Wanted
from pipeline.weights.resolve import Source, Weights

WIDTH = 512
CHECKPOINTS = Wanted((("*.safetensors",), ("*.pth", "*.pt", "*.bin")))


class Resnet18(SampledExtractor):
    """The pooled last feature map of torchvision's ResNet18 for every face.

    Source: He et al. 2016; Zhu and Yu, section IV-A, use one trained on AffectNet.
    """

    version = 1
    about = About(
        "Face features",
        "ResNet18",
        "visual",
        channel=1,
        licences={
            "imagenet": "BSD 3-clause (torchvision); ImageNet's pictures are for research",
        },
    )
    takes = {"images": Field(("step", SIZE_PX, SIZE_PX, 3), "uint8")}
    with_words = OF_FACES

    class Settings(StageSettings):
        weights: str = by_content(imagenet.ID)
        """A checkpoint file, a folder or hub id that holds one, `imagenet` (torchvision's) or
        `random`; the paper's is trained on AffectNet."""

        revision: str | None = by_content(None)
        """Commit, branch or tag on the hub; null for the latest."""

        file: str | None = by_content(None)
        """Name of the checkpoint file, if a folder or repository has several."""

        input_px: int = PydanticField(224, ge=32, le=1024)
        """Faces are resized to this square; 224 is what ResNets are trained on."""

        sampling: Literal["uniform", "words"] = unless_default("uniform")
        """A step for each face that `faces` picked, or the mean of those in each word, which the
        stage `alignment` that it needs finds."""

        precision: Precision = unless_default("float32")
        """Of products: tf32 (NVIDIA GPUs) and bfloat16 are mostly faster and less accurate."""

        engine: Engine = runtime(TORCH)
        """What computes on a CPU in float32: `torch`, `onnxruntime`, `openvino`, or `auto`, the
        fastest that is installed; they agree to 1e-5. See docs/engines.md."""

        batch_size: int = runtime(64, ge=1)
        """Batch size in faces."""

        device: Device = runtime("auto")
        """`auto` (cuda if available), `cpu`, `cuda`, `cuda:1` …"""

    settings: Settings

    def writes(self) -> dict[str, Field]:
        return {"features": Field(("step", WIDTH), "float32")}

    def weights(self) -> Weights:
        """The checkpoint; raises UserError where it is not to be had."""
        [source] = self.models()
        if source.path is None:
            return find_file(source.id, source.files, source.revision, _digest)
        if not source.path.exists():
            imagenet.fetch(source.path)
        return replace(find_file(str(source.path), (), digest=_digest), id=imagenet.ID)

    def models(self) -> list[Source]:
        settings = self.settings
        if settings.weights == imagenet.ID:
            path = imagenet.path()
            return [Source(imagenet.ID, path=path, fetch=partial(imagenet.fetch, path, True))]
        files = Wanted.of([settings.file]) if settings.file else CHECKPOINTS
        return [Source(settings.weights, files, settings.revision)]

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        faces = [inputs.rows["images"] for inputs in batch]
        rows = self.features(np.concatenate(faces))
        ends = np.cumsum([len(images) for images in faces])
        for inputs, part in zip(batch, np.split(rows, ends[:-1]), strict=True):
            steps = self.in_steps(part, inputs, inputs.rows.get("times"))
            yield ClipResult.ok({"features": steps}, length=len(steps))

    def features(self, faces: np.ndarray) -> np.ndarray:
        """uint8 rgb `faces` [n, 112, 112, 3] to float32 [n, 512]."""
        # torch and torchvision are loaded where features are made, not where a run is planned.
        from pipeline.encoders import resnet18

        settings = self.settings
        device, precision = device_of(settings.device), settings.precision
        of = self.weights()
        network = resnet18.loaded(of, device, precision, settings.engine, settings.input_px)
        size = settings.batch_size
        parts = [
            resnet18.features(network, faces[start : start + size], settings.input_px, precision)
            for start in range(0, len(faces), size)
        ]
        return np.concatenate([np.zeros((0, WIDTH), np.float32), *parts])


def _digest(checkpoint: Path) -> str:
    """Over the network's tensors alone; read where they aren't remembered."""
    from pipeline.encoders import resnet18

    return resnet18.digest(checkpoint)
