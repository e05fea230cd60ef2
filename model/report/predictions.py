"""One run more closely: which classes it mistakes for which, its best and its worst clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from model.objectives.objective import Row, Scores
from model.objectives.prediction import Prediction
from model.report.context import ReportContext, Section
from model.report.faces import Thumbnail, strips
from model.runs.files import SPOKEN
from model.runs.predictions import validated
from model.runs.run import Run, chosen
from pipeline.dataset.clip import LABEL
from pipeline.html.charts import Plot, labelled
from pipeline.html.numbers import plain

CLIPS = 5  # best, and worst
FACES = 6  # of each of them


@dataclass(frozen=True)
class Predicted:
    """A clip. said: its class and how sure that is, as `smp predict` says it. error: how far
    off a score is, or what probability its true class or labels lacked.
    """

    clip: str
    text: str
    truth: str
    prediction: str
    said: str
    error: float
    faces: Thumbnail | None = None


def section(context: ReportContext) -> Section:
    """The run that is best on validation, on the split that its results are of."""
    run, train = chosen(context.runs), context.command("train")
    rows = [row for row in run.predictions if row["split"] == run.judged] if run else []
    if run is None or not rows:
        return Section("predictions", "Predictions", {"run": None, "train": train})
    objective = run.objective
    truth, predictions = objective.read(rows)
    answers, errors = objective.answers(predictions), objective.errors(truth, predictions)
    order = np.argsort(errors, kind="stable").tolist()
    best = order[:CLIPS]
    worst = order[max(len(best), len(order) - CLIPS) :][::-1]
    faces = strips(context, [rows[n]["id"] for n in (*best, *worst)], FACES)
    texts = {clip.id: clip.text for clip in context.clips}
    shown = [
        replace(one, text=texts.get(one.clip, ""), faces=faces.get(one.clip))
        for one in told(run, [rows[n] for n in (*best, *worst)])
    ]
    content = {
        "run": run,
        "train": train,
        "clips": len(rows),
        "split": SPOKEN[run.judged],
        "left_out": len(run.left_out.get(run.judged, ())),
        "confusions": objective.confusions(truth, answers),
        "scatters": [_scatter(scores) for scores in objective.scores(truth, answers)],
        "best": shown[: len(best)],
        "worst": shown[len(best) :],
    }
    return Section("predictions", "Predictions", content)


def told(run: Run, rows: Sequence[Row]) -> list[Predicted]:
    """Rows of `predictions.csv` as `smp predict` would tell them."""
    objective = run.objective
    truth, predictions = objective.read(rows)
    answers, errors = objective.answers(predictions), objective.errors(truth, predictions)
    said = objective.said(predictions, lambda: validated(run.predictions, objective))
    own = zip(rows, truth.tolist(), answers.tolist(), errors.tolist(), said, strict=True)
    return [
        Predicted(row["id"], "", objective.told(true), objective.told(answer), _sure(one), error)
        for row, true, answer, error, one in own
    ]


def _sure(one: Prediction) -> str:
    """The class in which a score lies, and how sure a class is; nothing of several targets."""
    if one.others or one.confidence is None:
        return ""
    sure = plain(one.confidence)
    return sure if one.score is None else f"{one.sentiment}, {sure}"


def _scatter(scores: Scores) -> Markup:
    """A point a clip, true scores across and predicted ones up; on the line is right."""
    low, high = scores.low, scores.high
    margin = (high - low) / 40
    ends = (low - margin, high + margin)
    plot = Plot(ends, ends, height=320, width=340)
    ticks = np.linspace(low, high, 7 if high - low > 5 else 5).tolist()
    plot.grid(ticks)
    plot.add('<path class="mark" d="M{} {}L{} {}"/>', plot.at_x(low), plot.at_y(low),
             plot.at_x(high), plot.at_y(high))  # fmt: skip
    for truth, prediction in zip(scores.truth.tolist(), scores.predicted.tolist(), strict=True):
        held = min(ends[1], max(ends[0], prediction))
        plot.add('<circle class="point" cx="{}" cy="{}" r="2.5"/>', plot.at_x(truth),
                 plot.at_y(held))  # fmt: skip
    plot.below(labelled(ticks))
    what = "" if scores.title == LABEL else f" of {scores.title}"
    clips = f"{len(scores.truth)} clips"
    return plot.figure(f"Predicted over true score{what}", clips, dotted="exact")
