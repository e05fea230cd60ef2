"""The length of a transcript, by a model that notes its loading; some transcripts kill the process.

`!kill` kills whatever process works on it, `!once PATH` only the first.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, runtime
from pipeline.system.device import Device
from pipeline.weights.registry import load_once


class Mortal(Extractor):
    version = 1
    reads = frozenset({"text"})

    class Settings(StageSettings):
        pause_s: float = runtime(0.0)  # a clip
        loads: str = runtime("")  # a file in which every loading of the model is noted
        device: Device = runtime("cpu")

    settings: Settings

    def writes(self) -> dict[str, Field]:
        return {
            "features": Field(("step", 2), "float32"),
            "codes": Field(("letter",), "int32", ragged=True),
        }

    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        model = load_once(("mortal", self.settings.loads), self._load)
        for inputs in batch:
            time.sleep(self.settings.pause_s)
            yield model(inputs.clip.text, self.steps)

    def _load(self) -> Callable[[str, int], ClipResult]:
        if self.settings.loads:
            with Path(self.settings.loads).open("a") as file:
                file.write(f"{os.getpid()}\n")
        return _features


def _features(text: str, steps: int) -> ClipResult:
    match text.split():
        case ["!kill"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["!once", path] if not Path(path).exists():
            Path(path).touch()
            os.kill(os.getpid(), signal.SIGKILL)
    codes = np.array([ord(c) for c in text], np.int32)
    rows = np.stack([codes, -codes], 1).astype(np.float32)[:steps]
    return ClipResult.ok({"features": rows, "codes": codes}, len(rows))
