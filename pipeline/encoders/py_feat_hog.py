"""What of py-feat the classifiers need alone: it brings what draws with it, for seconds."""

from __future__ import annotations

from pipeline.encoders import py_feat_library  # noqa: F401 — first, to leave out its `__init__`

# isort: split

from feat.utils.image_operations import HOGLayer, neutral

__all__ = ["HOGLayer", "neutral"]
