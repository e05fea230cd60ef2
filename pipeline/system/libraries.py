"""The libraries whose versions can change a result."""

from __future__ import annotations

import importlib.metadata

LIBRARIES = (
    "av", "facenet-pytorch", "numpy", "opencv-python", "py-feat", "python-speech-features",
    "soundfile", "torch", "torchvision", "transformers", "zarr",
)  # fmt: skip


def versions() -> dict[str, str]:
    """The version of each, here and now."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}
