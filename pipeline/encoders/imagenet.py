"""torchvision's own ResNet18, trained on ImageNet: where torch keeps it, and how it gets there."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.errors import UserError
from pipeline.io.atomic_write import atomic_write

ID = "imagenet"
FILE = "resnet18-f37072fd.pth"  # torchvision's IMAGENET1K_V1


def path() -> Path:
    """Of the checkpoint, fetched or not."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("TORCH_HOME") or cache / "torch")
    return home.expanduser() / "hub" / "checkpoints" / FILE


def fetch(path: Path, progress: bool = False) -> None:
    """Download it; raises UserError where that fails."""
    # Imported here: a plan does without torchvision where the file is there already.
    from torch.hub import download_url_to_file
    from torchvision.models import ResNet18_Weights

    url = ResNet18_Weights.IMAGENET1K_V1.url
    try:
        with atomic_write(path) as part:
            download_url_to_file(url, str(part), path.stem.split("-")[1], progress)
    except Exception as error:  # no network, no access, no space, another content
        raise UserError(
            f"weights {ID!r} not found: looked at {path} and {url} ({error}); "
            "put the file there, or set `weights` to a checkpoint or to `random`"
        ) from error
