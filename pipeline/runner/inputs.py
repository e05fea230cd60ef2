"""What a task's extractor is given: each clip with the upstream fields that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.dag.spec import Stages
from pipeline.dag.stage import Stage
from pipeline.dag.task import GONE, REMOVED, Task
from pipeline.errors import ClipError
from pipeline.stage.extractor import StreamingExtractor
from pipeline.stage.result import OK, ClipInputs, ClipResult
from pipeline.store.store import Store

Given = Mapping[str, Any] | ClipResult


def gather(stages: Stages, stage: Stage, task: Task) -> list[ClipInputs | ClipResult]:
    """For each row its inputs, or the result of a row that has none because of a stage upstream."""
    extractor = stage.make()
    alone = [row.removed or row.gone or extractor.does_without(row.clip) for row in task.rows]
    columns = [_handed_on(stages[n], stage, task) for n in stage.needs] if not all(alone) else []
    return [
        _joined(task, row, [] if alone[row] else [column[row] for column in columns])
        for row in range(len(task.rows))
    ]


def _joined(task: Task, row: int, given: Sequence[Given]) -> ClipInputs | ClipResult:
    if task.rows[row].removed:
        return ClipResult.missing(REMOVED)
    if task.rows[row].gone:
        return ClipResult.failed(f"{GONE}{task.rows[row].gone}")
    fields: dict[str, Any] = {}
    for one in given:
        if isinstance(one, ClipResult):
            return one
        fields.update(one)
    return ClipInputs(task.rows[row].clip, fields)


def _handed_on(giver: Stage, taker: Stage, task: Task) -> list[Given]:
    extractor = giver.make()
    restore: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    takes = {**taker.make().takes, **taker.kind.may_take}
    names: list[str] | None = [name for name in takes if name in extractor.writes()]
    if isinstance(extractor, StreamingExtractor):
        if giver.name not in task.stores:
            return [_streamed(giver, extractor, ClipInputs(row.clip)) for row in task.rows]
        restore, names = extractor.restore, None
    return [
        restore(result.rows) if result.state == OK else _without(giver, result)
        for result in Store(task.stores[giver.name]).rows(task.partition, names)
    ]


def _streamed(giver: Stage, extractor: StreamingExtractor, inputs: ClipInputs) -> Given:
    try:
        return extractor.stream(inputs)
    except ClipError as error:
        return _without(giver, ClipResult.of(error))


def _without(giver: Stage, result: ClipResult) -> ClipResult:
    return ClipResult(result.state, reason=f"{giver.name}: {result.reason}")
