"""Twice what it takes, from the steps and from the ragged codes."""

from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult


class Doubled(Extractor):
    version = 1
    takes = {
        "features": Field(("step", 2), "float32"),
        "codes": Field(("letter",), "int32", ragged=True),
    }

    def writes(self) -> dict[str, Field]:
        return {"features": Field(("step", 2), "float32"), "total": Field((), "int64")}

    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        for inputs in batch:
            rows, codes = inputs.rows["features"], inputs.rows["codes"]
            yield ClipResult.ok(
                {"features": 2 * rows, "total": np.array(codes.sum(), np.int64)}, len(rows)
            )
