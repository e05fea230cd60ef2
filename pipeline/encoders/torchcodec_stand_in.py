"""A stand-in for torchcodec where it can't be loaded: py-feat wants it, and reads no video here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def torchcodec_if_need_be() -> Iterator[None]:
    """Within, `import torchcodec` works, and is undone afterwards where it was the stand-in's.

    py-feat 2.1 imports it to open videos. It loads only beside FFmpeg's own libraries or those of
    the CUDA that it was built for, which a processor's torch, or one of another CUDA, lacks.
    """
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        names = {"torchcodec": ModuleType("torchcodec"), "torchcodec.decoders": _decoders()}
        sys.modules.update(names)
        try:
            yield
        finally:
            for name in names:
                del sys.modules[name]
    else:
        yield


def _decoders() -> ModuleType:
    module: Any = ModuleType("torchcodec.decoders")
    module.VideoDecoder = None
    return module
