"""What of py-feat the classifiers need alone: it brings what draws with it, for seconds."""

from __future__ import annotations

from pipeline.encoders.py_feat_library import without_io

with without_io():
    from feat.utils.image_operations import HOGLayer, neutral

__all__ = ["HOGLayer", "neutral"]
