"""From folders of talking-face clips to cached features."""

from pipeline.cache import Cache, open_cache

__all__ = ["Cache", "open_cache"]
