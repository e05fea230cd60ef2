"""One field each of two stages, as it came."""

from collections.abc import Iterable, Sequence

from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult


class Echoed(Extractor):
    version = 1
    takes = {"total": Field((), "int64"), "codes": Field(("letter",), "int32", ragged=True)}

    def writes(self) -> dict[str, Field]:
        return dict(self.takes)

    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        for inputs in batch:
            yield ClipResult.ok(inputs.rows, 1)
