"""The order in which stages can run."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from pipeline.dag.stage import Stage, nearest
from pipeline.errors import UserError

MOST_WAYS = 200  # through the DAG to a stage: the default stages have at most 4


def ordered(where: str, stages: Mapping[str, Stage]) -> list[str]:
    """Their names, each after what it needs, else as they were written.

    Raises UserError where that can't be, or where too many ways lead through them.
    """
    for stage in stages.values():
        for need in stage.needs:
            if need not in stages:
                hint = nearest(need, stages)
                raise UserError(f"{where}: stage {stage.name!r} needs {need!r}; {hint}")
    ways: dict[str, int] = {}  # what follows the needs of a stage goes all of these
    try:
        for name in TopologicalSorter({n: stages[n].needs for n in stages}).static_order():
            ways[name] = 1 + sum(ways[need] for need in stages[name].needs)
            if ways[name] > MOST_WAYS:
                raise UserError(
                    f"{where}: from stage {name!r} more than {MOST_WAYS} ways lead to what it "
                    "needs; let it need less"
                )
    except CycleError as error:
        raise UserError(f"{where}: stages need each other: {' → '.join(error.args[1])}") from None
    order: dict[str, None] = {}  # the file's own, but for stages that come before what they need

    def visit(name: str) -> None:
        for need in stages[name].needs:
            visit(need)
        order[name] = None

    for name in stages:
        visit(name)
    return list(order)
