"""Which rows of a table differ: intervals, and tests against the best row and the linear probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from model.experiments.bootstrap import Answers, holm, interval, p_value, resampled
from model.experiments.table import MODEL, PROBE, Table
from model.objectives.objective import Objective


def with_significance(
    table: Table, answers: Mapping[int, Answers], truth: np.ndarray, objective: Objective
) -> Table:
    """The table with `intervals`, `p_best` and `p_probe` in those rows that have `answers`.

    answers: by the number of a row, models and probes. truth: of all test clips.
    A model is compared with rows that have the same clips; p values are adjusted over the models
    of its group.
    """
    values = dict(zip(answers, resampled(list(answers.values()), truth, objective), strict=True))
    rows = {i: table.rows[i] for i in answers}
    models = [i for i, row in rows.items() if row.kind == MODEL]
    probe = next((i for i in reversed(rows) if rows[i].kind == PROBE), None)

    def against(other: int | None, own: Sequence[int], key: str) -> dict[int, float]:
        """Adjusted p values of `own` rows' differences from an`other`."""
        if other is None:
            return {}
        theirs = answers[other].rows
        same = [i for i in own if i != other and np.array_equal(answers[i].rows, theirs)]
        return holm({i: p_value(values[i][key] - values[other][key]) for i in same})

    p_best: dict[int, dict[str, float]] = {i: {} for i in rows}
    p_probe: dict[int, dict[str, float]] = {i: {} for i in rows}
    for group in {rows[i].group for i in models}:
        own = [i for i in models if rows[i].group == group]
        for key in table.columns:
            best = next((i for i in own if table.rank(rows[i], key) == 1), None)
            for found, other in ((p_best, best), (p_probe, probe)):
                for i, p in against(other, own, key).items():
                    found[i][key] = p
    tested_rows = list(table.rows)
    for i, row in rows.items():
        intervals = {key: interval(values[i][key]) for key in table.columns}
        tested_rows[i] = replace(row, intervals=intervals, p_best=p_best[i], p_probe=p_probe[i])
    return replace(table, rows=tested_rows)
