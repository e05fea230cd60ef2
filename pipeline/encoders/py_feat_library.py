"""What is used from inside py-feat, which promises none of it to the next version."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from pipeline.system.process import keep_openmp_threads

IO = "feat.utils.io"
keep_openmp_threads(torch.get_num_threads())


@contextmanager
def without_io() -> Iterator[None]:
    """Within, `import feat.utils.io` gives a stand-in that is gone afterwards.

    What is imported so takes one path from it. It loads pandas, and to open videos torchcodec,
    which many builds of torch lack the libraries for.
    """
    if IO in sys.modules:
        yield
        return
    io: Any = ModuleType(IO)
    io.get_resource_path = lambda: str(Path(*sys.modules["feat"].__path__, "resources"))
    sys.modules[IO] = io
    try:
        yield
    finally:
        del sys.modules[IO]
        vars(sys.modules[IO.rpartition(".")[0]]).pop("io", None)


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
with without_io():
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
