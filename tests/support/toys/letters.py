"""The code points of a transcript; some transcripts make it misbehave."""

import errno
import importlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pipeline.errors import ClipError, MissingModalityError, UserError
from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, runtime
from pipeline.stage.steps import to_steps
from pipeline.weights.registry import load_once


class Letters(Extractor):
    version = 1
    reads = frozenset({"text"})

    class Settings(StageSettings):
        scale: float = 1.0
        calls: str = runtime("")  # a file in which every call notes the clips it was given
        pause_s: float = runtime(0.0)  # how long every call takes
        batch_size: int = runtime(64)
        fits: int = runtime(1000)  # so many clips at once fit into memory
        lacks: str = runtime("")  # what every clip raises, if that is a name below

    settings: Settings

    def writes(self) -> dict[str, Field]:
        return {
            "features": Field(("step", 2), "float32"),
            "codes": Field(("letter",), "int32", ragged=True),
        }

    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        if self.settings.calls:
            with Path(self.settings.calls).open("a") as file:
                file.write(" ".join(inputs.clip.id for inputs in batch) + "\n")
        time.sleep(self.settings.pause_s)
        if len(batch) > self.settings.fits:
            raise MemoryError
        for inputs in batch:
            self._lack(inputs.clip.id)
            yield self._one(inputs.clip.text)

    def _lack(self, clip: str) -> None:
        match self.settings.lacks:
            case "code":
                raise KeyError(f"nothing in /data/{clip}.bin of {len(clip)} bytes for {clip}")
            case "library":
                importlib.import_module("no_such_library")
            case "device":
                raise RuntimeError("CUDA error: unspecified launch failure\nCompile with …")
            case "disk":
                raise OSError(errno.EIO, os.strerror(errno.EIO), f"/data/{clip}.bin")
            case "weights":
                load_once(("letters", id(self)), lambda: ["bias"].index("conv"))
            case "clip":
                raise ClipError(f"{clip} is truncated")

    def _one(self, text: str) -> ClipResult:
        match text:
            case "":
                return ClipResult.of(MissingModalityError("empty text"))
            case "!fail":
                return ClipResult.of(ClipError("a reason"))
            case "!raise":
                raise ValueError("a bug")
            case "!user":
                raise UserError("mend this")
            case "!memory":
                raise MemoryError
            case "!cuda" if self.settings.batch_size > 8:
                import torch

                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            case "!slow":
                time.sleep(0.15)
            case "!full":
                raise OSError(28, os.strerror(28))
            case "!nan":
                rows = np.full((3, 2), np.nan, np.float32)
                return ClipResult.ok({"features": rows, "codes": np.zeros(0, np.int32)}, 3)
        if text.startswith("!needs ") and not Path(text.removeprefix("!needs ")).exists():
            return ClipResult.failed("what it needs is not there")
        codes = np.array([ord(c) for c in text], np.int32)
        pairs = np.stack([codes, -codes], 1).astype(np.float32) * self.settings.scale
        rows = to_steps(pairs, steps=self.steps)
        doubt = "nothing but question marks" if set(text) == {"?"} else ""
        return ClipResult.ok({"features": rows, "codes": codes}, len(rows), doubt=doubt)
