"""The libraries whose versions can change a result."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.util import find_spec

from pipeline.errors import UserError

LIBRARIES = (
    "av", "facenet-pytorch", "numpy", "opencv-python", "py-feat", "python-speech-features",
    "soundfile", "torch", "torchvision", "transformers", "zarr",
)  # fmt: skip


def versions(more: Iterable[str] = ()) -> dict[str, str]:
    """The version of each, here and now, and of the modules `more`, where they are installed."""
    return {**_always()} | {module: version(module) for module in sorted(more) if find_spec(module)}


@lru_cache(maxsize=1)
def _always() -> Mapping[str, str]:
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def version(module: str) -> str:
    """Of the package that brings it, which may have another name; "" for a file of one's own."""
    packages = importlib.metadata.packages_distributions().get(module, [])
    return importlib.metadata.version(packages[0]) if packages else ""


def require(extras: Mapping[str, str]) -> None:
    """Raise UserError where a module, by which its extra is listed, is not installed."""
    for module, extra in extras.items():
        if find_spec(module) is None:
            raise UserError(f'{module} is not installed: pip install "smp-sentiment[{extra}]"')
