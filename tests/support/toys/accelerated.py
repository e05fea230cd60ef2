"""The code points of a transcript, on a device that some transcripts break for its whole process.

`!breaks` breaks it each time, `!once PATH` only the first; `!disk` is on a disk that fails.
"""

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult

ILLEGAL = (
    "CUDA error: an illegal memory access was encountered\n"
    "CUDA kernel errors might be asynchronously reported at some other API call"
)
broken: list[bool] = []  # in this process


class Accelerated(Extractor):
    version = 1
    reads = frozenset({"text"})

    def writes(self) -> dict[str, Field]:
        return {
            "features": Field(("step", 2), "float32"),
            "codes": Field(("letter",), "int32", ragged=True),
        }

    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        for inputs in batch:
            match inputs.clip.text.split():
                case ["!breaks"]:
                    broken.append(True)
                case ["!once", path] if not Path(path).exists():
                    Path(path).touch()
                    broken.append(True)
                case ["!disk"]:
                    raise OSError(errno.EIO, os.strerror(errno.EIO), "/data/a.mp4")
            if broken:
                raise RuntimeError(ILLEGAL)
            codes = np.array([ord(c) for c in inputs.clip.text], np.int32)
            rows = np.stack([codes, -codes], 1).astype(np.float32)[:32]
            yield ClipResult.ok({"features": rows, "codes": codes}, len(rows))
