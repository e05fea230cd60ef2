"""A transcript for every clip, the same one."""

from collections.abc import Iterable, Sequence

from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.transcript import TRANSCRIPT, written

SAID = "it is good"


class Heard(Extractor):
    version = 1

    def writes(self) -> dict[str, Field]:
        return {"transcript": TRANSCRIPT}

    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        for _ in batch:
            yield ClipResult.ok({"transcript": written(SAID)}, 1)
