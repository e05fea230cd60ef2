"""Which rows of a table are marked, and that files and pages say the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.experiments.bootstrap import Answers
from model.experiments.formats import latex, markdown
from model.experiments.significance import with_significance
from model.experiments.table import MODEL, PROBE, REFERENCE, Row, Table
from model.metrics import SIMS, regression
from model.objectives.score import Score
from tests.model.experiments.test_experiments import compared
from tests.model.training.test_loop import some_samples

CLIPS = 80
LABELS = np.random.default_rng(1).uniform(-1, 1, CLIPS)
NOISE = np.random.default_rng(2).normal(size=(3, CLIPS))
ON_SIMS = Score(name="label", scale=SIMS)
COLUMNS = ["acc2", "f1", "corr", "mae"]


def table_of(noise: dict[str, tuple[str, float]]) -> Table:
    """Rows of two seeds, by label: of which kind, and how wrong they are."""
    rows, answers = [], {}
    for i, (label, (kind, size)) in enumerate(noise.items()):
        predicted = LABELS + size * NOISE[[0, 1] if kind == MODEL else [2]]
        measured = [regression(LABELS, own, SIMS) for own in predicted]
        rows.append(Row(label, {key: [m[key] for m in measured] for key in COLUMNS}, kind))
        answers[i] = Answers(np.arange(CLIPS), predicted[..., None])
    rows.append(Row("median score", {key: [0.5] for key in COLUMNS}, REFERENCE))
    return with_significance(Table("T", COLUMNS, rows), answers, LABELS[:, None], ON_SIMS)


def test_the_best_is_set_apart_only_from_what_is_worse() -> None:
    table = table_of({"A": (MODEL, 0.20), "B": (MODEL, 0.201), "C": (MODEL, 0.9)})
    a, b, c, median = table.rows
    assert table.rank(a, "mae") == 1
    assert [table.cell(row, "mae").endswith("ⁿˢ") for row in (a, b, c, median)] == [
        False, True, False, False,
    ]  # fmt: skip
    assert table.cell(b, "acc2").endswith("ⁿˢ")
    assert c.p_best["mae"] < 0.01
    assert not table.cell(c, "corr").endswith("ⁿˢ")
    assert a.intervals["mae"][0] < a.mean("mae") < a.intervals["mae"][1]
    assert not median.intervals


def test_a_row_no_better_than_the_probe_is_marked_whichever_way_it_differs() -> None:
    rows = {"better": 0.1, "alike": 0.42, "worse": 1.5}
    table = table_of({k: (MODEL, v) for k, v in rows.items()} | {"probe": (PROBE, 0.4)})
    marked = {row.label for row in table.rows if table.label(row).endswith("‡")}
    assert marked == {"alike", "worse"}
    assert "‡" in markdown(table)
    assert r"alike $\ddagger$" in latex(table)
    assert r"$^{\mathrm{ns}}$" in latex(table_of({"A": (MODEL, 0.2), "B": (MODEL, 0.201)}))


def test_rows_of_other_clips_are_not_compared() -> None:
    table = table_of({"A": (MODEL, 0.2), "B": (MODEL, 0.9)})
    fewer = np.arange(CLIPS - 5)
    answers = {
        0: Answers(np.arange(CLIPS), (LABELS + NOISE[0])[None, :, None]),
        1: Answers(fewer, (LABELS + NOISE[1])[None, fewer, None]),
    }
    again = with_significance(table, answers, LABELS[:, None], ON_SIMS)
    assert [row.p_best for row in again.rows[:2]] == [{}, {}]


def test_an_experiment_is_tested_and_read_again_as_it_was_written(tmp_path: Path) -> None:
    from model.experiments.folder import experiments_of

    samples = replace(some_samples(), provenance={"dataset": "made", "stages": {}})
    result = compared(samples, tmp_path)
    first = result.table.rows[0]
    assert first.intervals.keys() == set(result.table.columns)
    assert {k for row in result.table.rows for k in row.p_probe} == set(result.table.columns)
    (found,), unreadable = experiments_of("made", tmp_path)
    assert not unreadable
    read = found.table.rows[0]
    assert dict(read.intervals) == {k: pytest.approx(v) for k, v in first.intervals.items()}
    assert markdown(replace(found.table, rows=result.table.rows)) == markdown(found.table)
