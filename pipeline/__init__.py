"""From folders of talking-face clips to cached features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.store.cache import Cache, open_cache

__all__ = ["Cache", "open_cache"]


def __getattr__(name: str) -> Any:
    """What is offered here, when it is asked for: `smp --help` must not pay for numpy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipeline.store import cache

    return getattr(cache, name)
