"""A stage that computes next to nothing, so that what is left is the pipeline's own cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult


class Trivial(Extractor):
    """The number of letters, eight times."""

    version = 1
    reads = frozenset({"text"})

    def writes(self) -> dict[str, Field]:
        return {"features": Field(("step", 8), "float32", "letters")}

    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        for inputs in batch:
            rows = np.full((self.steps, 8), len(inputs.clip.text), np.float32)
            yield ClipResult.ok({"features": rows}, self.steps)
