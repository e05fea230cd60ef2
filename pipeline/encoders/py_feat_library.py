"""What is used from inside py-feat, which promises none of it to the next version."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from pipeline.system.process import keep_openmp_threads

keep_openmp_threads(torch.get_num_threads())


@contextmanager
def _torchcodec() -> Iterator[None]:
    """Within, `import torchcodec` works, if only with a stand-in that is gone afterwards.

    py-feat 2.1 imports it to open videos, which it does not here. It loads only beside FFmpeg's own
    libraries or those of the CUDA that it was built for, which many builds of torch lack.
    """
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        decoders: Any = ModuleType("torchcodec.decoders")
        decoders.VideoDecoder = None
        names = {"torchcodec": ModuleType("torchcodec"), "torchcodec.decoders": decoders}
        sys.modules.update(names)
        try:
            yield
        finally:
            for name in names:
                del sys.modules[name]
    else:
        yield


with _torchcodec():
    from feat.au_detectors.StatLearning.SL_test import SVMClassifier, XGBClassifier
    from feat.landmark_detectors.mobilefacenet_test import MobileFaceNet
    from feat.multitask.inference import MultitaskModel, MultitaskOutput
    from feat.multitask.model_v2 import MEGraphAUv2, ModelV2Config
    from feat.utils.face_mask import extract_hog_features_batched
    from feat.utils.image_operations import HOGLayer, neutral

__all__ = [
    "HOGLayer",
    "MEGraphAUv2",
    "MobileFaceNet",
    "ModelV2Config",
    "MultitaskModel",
    "MultitaskOutput",
    "SVMClassifier",
    "XGBClassifier",
    "extract_hog_features_batched",
    "neutral",
]
