"""A stage that takes the time of a real one: cores sleep, and so does a device, in its turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, runtime
from pipeline.system.device import Device
from pipeline.system.threads import spread
from pipeline.system.turns import turn

CORE = "core"
CORES = threading.BoundedSemaphore(16)


class Note(NamedTuple):
    """That a core or a device was at a clip's batch, from when to when."""

    what: str
    clip: str
    begin_s: float
    end_s: float


notes: list[Note] = []


class Fed(Extractor):
    version = 1
    reads = frozenset({"text"})

    class Settings(StageSettings):
        rounds: int = runtime(1)
        """How often it goes from the cores to the device and back, as for windows of frames."""

        before_s: float = runtime(0.0)
        """Of a core, a clip and round, as decoding takes."""

        network_s: float = runtime(0.0)
        """Of the device, a clip and round."""

        after_s: float = runtime(0.0)
        """Of a core, a clip and round, as aligning takes."""

        clips: int = runtime(0)
        """That go through together; 0: all."""

        device: Device = runtime("auto")

    settings: Settings

    def writes(self) -> dict[str, Field]:
        return {"features": Field(("step", 1), "float32")}

    def portion(self) -> int | None:
        return self.settings.clips or None

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        its, first = self.settings, batch[0].clip.id
        for _ in range(its.rounds):
            spread(lambda inputs: _sleep(CORE, inputs.clip.id, its.before_s), batch)
            if its.network_s:
                with turn(its.device):
                    _sleep(its.device, first, its.network_s * len(batch))
            spread(lambda inputs: _sleep(CORE, inputs.clip.id, its.after_s), batch)
        for _ in batch:
            yield ClipResult.ok({"features": np.zeros((1, 1), np.float32)}, length=1)


def _sleep(what: str, clip: str, seconds: float) -> None:
    """On a core, also where that gives a device its work."""
    if not seconds:
        return
    with CORES:
        begin_s = time.perf_counter()
        time.sleep(seconds)
        notes.append(Note(what, clip, begin_s, time.perf_counter()))
