"""From folders of talking-face clips to cached features."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.dataset.clip import Clip
    from pipeline.errors import ClipError, MissingModalityError, UserError
    from pipeline.stage.about import About
    from pipeline.stage.extractor import Extractor
    from pipeline.stage.field import Field
    from pipeline.stage.result import ClipInputs, ClipResult
    from pipeline.stage.settings import StageSettings, by_content, runtime
    from pipeline.store.cache import Cache, open_cache

__all__ = [
    "About", "Cache", "Clip", "ClipError", "ClipInputs", "ClipResult", "Extractor", "Field",
    "MissingModalityError", "StageSettings", "UserError", "by_content", "open_cache", "runtime",
]  # fmt: skip
_PLACES = {
    "dataset.clip": ("Clip",),
    "errors": ("ClipError", "MissingModalityError", "UserError"),
    "stage.about": ("About",),
    "stage.extractor": ("Extractor",),
    "stage.field": ("Field",),
    "stage.result": ("ClipInputs", "ClipResult"),
    "stage.settings": ("StageSettings", "by_content", "runtime"),
    "store.cache": ("Cache", "open_cache"),
}


def __getattr__(name: str) -> Any:
    """What is offered here, when it is asked for: `smp --help` must not pay for numpy."""
    for place, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{place}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
