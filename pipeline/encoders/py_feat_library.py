"""What is used from inside py-feat, which promises none of it to the next version."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec
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


def _without_init() -> None:
    """Let modules of py-feat be imported without its `__init__`, which loads much else for seconds.

    That is run for whoever asks for what it defines.
    """
    spec = None if "feat" in sys.modules else find_spec("feat")
    if spec is None or spec.loader is None:
        return
    feat, loader = module_from_spec(spec), spec.loader

    def of_init(name: str) -> object:
        if name.startswith("__") or "__getattr__" not in vars(feat):
            raise AttributeError(f"module 'feat' has no attribute {name!r}")
        del feat.__getattr__
        loader.exec_module(feat)
        return getattr(feat, name)

    vars(feat)["__getattr__"] = of_init
    sys.modules["feat"] = feat


_without_init()
with _torchcodec():
    from feat.au_detectors.StatLearning.SL_test import SVMClassifier, XGBClassifier
    from feat.landmark_detectors.mobilefacenet_test import MobileFaceNet
    from feat.multitask.inference import MultitaskModel
    from feat.multitask.model_v2 import MEGraphAUv2, ModelV2Config
    from feat.utils.face_mask import extract_hog_features_batched

__all__ = [
    "MEGraphAUv2",
    "MobileFaceNet",
    "ModelV2Config",
    "MultitaskModel",
    "SVMClassifier",
    "XGBClassifier",
    "extract_hog_features_batched",
]
