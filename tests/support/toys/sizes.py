"""How large a clip's video is, in bytes."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult


class Sizes(Extractor):
    version = 1
    reads = frozenset({"video"})

    def writes(self) -> dict[str, Field]:
        return {"bytes": Field((), "int64")}

    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        for inputs in batch:
            size = Path(inputs.clip.video or "").stat().st_size
            yield ClipResult.ok({"bytes": np.array(size)}, 1)
