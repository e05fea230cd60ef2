"""The code points of a transcript, on a CUDA device that the transcript `!asserts` breaks once.

It has an index out of range looked up there: the kernel's assertion costs the process its device.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, runtime
from tests.support.toys.accelerated import Accelerated


class Asserting(Accelerated):
    class Settings(StageSettings):
        broken: str = runtime("")  # a file that is there once it has been

    settings: Settings

    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        seen = Path(self.settings.broken)
        if any(inputs.clip.text == "!asserts" for inputs in batch) and not seen.exists():
            seen.touch()
            torch.zeros(2, device="cuda")[torch.tensor([9], device="cuda")].cpu()
        return super().extract(batch)
