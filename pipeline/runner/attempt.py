"""A batch of clips through its extractor, and whose fault it is where that raises."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.dag.stage import Stage
from pipeline.errors import ClipError, StageError, UserError
from pipeline.messages import folded, one_line
from pipeline.runner import under_way
from pipeline.runner.fault import Fault, MetAtError
from pipeline.stage.extractor import Extractor
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.system.device import is_out_of_memory
from pipeline.system.threads import spread


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a clip that no `ClipError` names.

    reason: one line. kind: the reason without what differs from clip to clip.
    """

    reason: str
    kind: str


class Attempt:
    """One batch of a stage, by row. traces: is given the traceback of each kind of trouble."""

    def __init__(
        self, stage: Stage, inputs: Mapping[int, ClipInputs], traces: dict[str, str]
    ) -> None:
        self._stage, self._inputs, self._traces = stage, inputs, traces

    def results(self, one_by_one: bool = False) -> dict[int, ClipResult]:
        """A checked result for each row.

        one_by_one: each clip alone, to find the one that meets a fault: MetAtError then. Raises
        UserError, or what a disk or memory raised, where no clip is at fault: a device or the
        machine failed, or every one of several clips is in the same trouble.
        """
        if one_by_one:
            found = [result for row in self._inputs for result in self._alone(row)]
        else:
            found = self._found(self._stage, list(self._inputs.values()))
        troubles = [result for result in found if isinstance(result, Trouble)]
        if len(troubles) == len(found) > 1 and len({trouble.kind for trouble in troubles}) == 1:
            raise StageError(
                f"all {len(found)} clips fail for the same reason ({troubles[0].reason}), so no "
                "single clip is to blame and none is marked failed; fix the stage or what it uses "
                "and run again"
            )
        results = [ClipResult.failed(x.reason) if isinstance(x, Trouble) else x for x in found]
        return dict(zip(self._inputs, results, strict=True))

    def _alone(self, row: int) -> Iterator[ClipResult | Trouble]:
        try:
            yield from self._found(self._stage, [self._inputs[row]])
        except Exception as error:
            if Fault.behind(error) is None:
                raise
            raise MetAtError(row, error) from error

    def _found(self, stage: Stage, inputs: Sequence[ClipInputs]) -> list[ClipResult | Trouble]:
        """A result for each clip, or its trouble.

        Where memory runs out the batch is halved; where it raises otherwise, the clips are tried
        one by one.
        """
        if not inputs:
            return []
        try:
            return [_finite(result) for result in _in_portions(stage.make(), inputs)]
        except UserError:
            raise
        except Exception as raised:
            trace = traceback.format_exc()
            error = raised.with_traceback(None)  # its frames hold memory that the next try needs
        if is_out_of_memory(error):
            _free_memory()
            return self._in_halves(stage, inputs, str(error))
        reason = one_line(error, with_kind=True)
        trouble = Trouble(reason, folded(reason, inputs[0].clip.id))
        fault = Fault.behind(error)
        if (fault and fault.device) or isinstance(error, ImportError):
            self._traces[trouble.kind] = trace
            raise StageError(f"{reason}; no clip is marked failed") from error
        if len(inputs) > 1:
            return [result for one in inputs for result in self._found(stage, [one])]
        if isinstance(error, ClipError):
            return [ClipResult.of(error)]
        if fault:
            raise error
        self._traces[trouble.kind] = trace
        return [trouble]

    def _in_halves(
        self, stage: Stage, inputs: Sequence[ClipInputs], error: str
    ) -> list[ClipResult | Trouble]:
        """Of half the clips and then of the other half, in batches of half the size."""
        settings = stage.settings.with_smaller_batches()
        if len(inputs) == 1 and settings == stage.settings:
            clip = inputs[0].clip.id
            raise MemoryError(f"out of memory with one clip, {clip!r}: {error or 'RAM'}")
        smaller, middle = stage.having(settings), -(-len(inputs) // 2)
        return self._found(smaller, inputs[:middle]) + self._found(smaller, inputs[middle:])


def _in_portions(extractor: Extractor, inputs: Sequence[ClipInputs]) -> list[ClipResult]:
    """The extractor's results; of clips that it takes portion by portion, on several threads."""
    size = extractor.portion() or len(inputs)
    portions = [inputs[i : i + size] for i in range(0, len(inputs), size)]
    tick = under_way.ticked()
    parts = spread(lambda portion: [tick(r) for r in extractor.extract(portion)], portions)
    results = [result for part in parts for result in part]
    if len(results) != len(inputs):
        raise TypeError(f"{len(results)} results for {len(inputs)} clips")
    return results


def _finite(result: ClipResult) -> ClipResult | Trouble:
    """The result, or that it holds a number that is none: it would poison a training run."""
    for name, row in result.rows.items():
        if np.asarray(row).dtype.kind == "f" and not np.isfinite(row).all():
            reason = f"{name!r} holds NaN or infinite values"
            return Trouble(reason, reason)
    return result


def _free_memory() -> None:
    """Give back what nothing refers to any more, on the accelerator too."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
