"""What a face looks like to a ResNet18: the 512 values before its classifier."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field as PydanticField

from pipeline.encoders.precision import Precision
from pipeline.errors import UserError
from pipeline.faces.align import SIZE_PX
from pipeline.io.atomic_write import atomic_write
from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, by_content, runtime, unless_default
from pipeline.system.device import Device, device_of
from pipeline.weights.checkpoint import find_file
from pipeline.weights.registry import load_once
from pipeline.weights.repository import Wanted
from pipeline.weights.resolve import Source, Weights

if TYPE_CHECKING:
    import torch

WIDTH = 512
IMAGENET = "imagenet"
IMAGENET_FILE = "resnet18-f37072fd.pth"  # torchvision's IMAGENET1K_V1
CHECKPOINTS = Wanted((("*.safetensors",), ("*.pth", "*.pt", "*.bin")))


class Resnet18(Extractor):
    """The pooled last feature map of torchvision's ResNet18 for every face.

    Source: He et al. 2016; Zhu and Yu, section IV-A, use one trained on AffectNet.
    """

    version = 1
    takes = {"images": Field(("step", SIZE_PX, SIZE_PX, 3), "uint8")}

    class Settings(StageSettings):
        """Which ResNet18, and how large it sees a face."""

        weights: str = by_content(IMAGENET)
        """A checkpoint file, a folder or hub id that holds one, `imagenet` (torchvision's) or
        `random`; the paper's is trained on AffectNet."""

        revision: str | None = by_content(None)
        """Commit, branch or tag of a hub repository; null: its newest."""

        file: str | None = by_content(None)
        """The checkpoint's name, where a folder or repository has several."""

        input_px: int = PydanticField(224, ge=32, le=1024)
        """Faces are resized to this square; 224 is what ResNets are trained on."""

        precision: Precision = unless_default("float32")
        """Of the network's products; bfloat16 is faster on most devices and a little less exact."""

        batch_size: int = runtime(64, ge=1)
        """Faces that go through together."""

        device: Device = runtime("auto")
        """`auto` (cuda where there is one), `cpu`, `cuda`, `cuda:1` …"""

    settings: Settings

    def writes(self) -> dict[str, Field]:
        """One row a face."""
        return {"features": Field(("step", WIDTH), "float32")}

    def weights(self) -> Weights:
        """The checkpoint; raises UserError where it is not to be had."""
        [source] = self.models()
        if source.path is None:
            return find_file(source.id, source.files, source.revision, _digest)
        if not source.path.exists():
            _fetch_imagenet(source.path)
        return replace(find_file(str(source.path), (), digest=_digest), id=IMAGENET)

    def models(self) -> list[Source]:
        settings = self.settings
        if settings.weights == IMAGENET:
            path = _imagenet()
            fetch = partial(_fetch_imagenet, path, progress=True)
            return [Source(IMAGENET, path=path, fetch=fetch)]
        files = Wanted.of([settings.file]) if settings.file else CHECKPOINTS
        return [Source(settings.weights, files, settings.revision)]

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        """The faces of all clips of the batch go through the network together."""
        faces = [inputs.rows["images"] for inputs in batch]
        rows = self.features(np.concatenate(faces))
        ends = np.cumsum([len(images) for images in faces])
        for part in np.split(rows, ends[:-1]):
            yield ClipResult.ok({"features": part}, length=len(part))

    def features(self, faces: np.ndarray) -> np.ndarray:
        """uint8 rgb `faces` [n, 112, 112, 3] to float32 [n, 512]."""
        # torch and torchvision are loaded where features are made, not where a run is planned.
        from pipeline.encoders import resnet18

        network, settings = self._network(), self.settings
        size, how = settings.batch_size, (settings.input_px, settings.precision)
        batches = [faces[start : start + size] for start in range(0, len(faces), size)]
        parts = [resnet18.features(network, batch, *how) for batch in batches]
        return np.concatenate([np.zeros((0, WIDTH), np.float32), *parts])

    def _network(self) -> torch.nn.Module:
        from pipeline.encoders import resnet18

        found, device = self.weights(), device_of(self.settings.device)
        precision = self.settings.precision

        def build() -> torch.nn.Module:
            if found.path is None:
                return resnet18.at_random(device, precision)
            return resnet18.from_checkpoint(found.path, device, precision)

        return load_once(("resnet18", found.digest, device, precision), build)


def _digest(checkpoint: Path) -> str:
    """Over the network's tensors alone; read where they aren't remembered."""
    from pipeline.encoders import resnet18

    return resnet18.digest(checkpoint)


def _imagenet() -> Path:
    """Where torch keeps torchvision's own checkpoint, fetched or not."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("TORCH_HOME") or cache / "torch")
    return home.expanduser() / "hub" / "checkpoints" / IMAGENET_FILE


def _fetch_imagenet(path: Path, progress: bool = False) -> None:
    # Imported here: a plan does without torchvision where the file is there already.
    from torch.hub import download_url_to_file
    from torchvision.models import ResNet18_Weights

    url = ResNet18_Weights.IMAGENET1K_V1.url
    try:
        with atomic_write(path) as part:
            download_url_to_file(url, str(part), path.stem.split("-")[1], progress)
    except Exception as error:  # no network, no access, no space, another content
        raise UserError(
            f"weights {IMAGENET!r} not found: looked at {path} and {url} ({error}); "
            "put the file there, or set `weights` to a checkpoint or to `random`"
        ) from error
