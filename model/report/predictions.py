"""One run more closely: which classes it mistakes for which, its best and its worst clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from model.inference import prediction
from model.inference.prediction import Prediction
from model.metrics import Scale
from model.network import CLASSES
from model.report.context import ReportContext, Section
from model.report.faces import Thumbnail, strips
from model.runs.files import SPOKEN
from model.runs.predictions import residuals
from model.runs.run import Run, chosen
from pipeline.html.charts import Plot, labelled
from pipeline.html.numbers import plain

CLIPS = 5  # best, and worst
FACES = 6  # of each of them
FINEST = {"mosi": "acc7", "sims": "acc5"}  # the accuracy whose classes a score is counted by
FIVE = ("− −", "−", "0", "+", "+ +")
SEVEN = ("−3", "−2", "−1", "0", "1", "2", "3")


@dataclass(frozen=True)
class Predicted:
    """A clip. said: its class and how sure that is, as `smp predict` says it. error: how far
    off a score is, or what probability its true class lacked.
    """

    clip: str
    text: str
    truth: str
    prediction: str
    said: str
    error: float
    faces: Thumbnail | None


@dataclass(frozen=True)
class Confusion:
    """counts [classes, classes]: rows are true classes, columns predicted ones."""

    names: Sequence[str]
    counts: np.ndarray

    def share(self, row: int, column: int) -> float:
        """In per cent of the row's clips."""
        return 100 * float(self.counts[row, column]) / max(1, int(self.counts[row].sum()))


def section(context: ReportContext) -> Section:
    """The run that is best on validation, on the split that its results are of."""
    run, train = chosen(context.runs), context.command("train")
    rows = [row for row in run.predictions if row["split"] == run.judged] if run else []
    if run is None or not rows:
        return Section("predictions", "Predictions", {"run": None, "train": train})
    order = sorted(rows, key=lambda row: _error(row, run.task))
    best = order[:CLIPS]
    worst = order[max(len(best), len(order) - CLIPS) :][::-1]
    faces = strips(context, [row["id"] for row in (*best, *worst)], FACES)
    texts = {clip.id: clip.text for clip in context.clips}
    content = {
        "run": run,
        "train": train,
        "clips": len(rows),
        "split": SPOKEN[run.judged],
        "left_out": len(run.left_out.get(run.judged, ())),
        "confusion": confusion(rows, run.task, run.scale),
        "scatter": _scatter(rows, run.scale) if run.task == "regression" else Markup(""),
        "best": [_predicted(row, run, texts, faces) for row in best],
        "worst": [_predicted(row, run, texts, faces) for row in worst],
    }
    return Section("predictions", "Predictions", content)


def confusion(rows: Sequence[Mapping[str, str]], task: str, scale: Scale) -> Confusion:
    """Counts over rows of `predictions.csv`; scores by the finest classes of their scale."""
    if task == "classification":
        names: Sequence[str] = CLASSES
        pairs = [(CLASSES.index(row["label"]), CLASSES.index(row["prediction"])) for row in rows]
    else:
        binned = scale.accuracies[FINEST[scale.name]]
        names = SEVEN if scale.name == "mosi" else FIVE
        columns = [np.array([float(row[of]) for row in rows]) for of in ("label", "prediction")]
        lowest = int(binned(np.array([-scale.limit]))[0])
        classes = [
            binned(np.clip(column, -scale.limit, scale.limit)) - lowest for column in columns
        ]
        pairs = list(zip(*(c.tolist() for c in classes), strict=True))
    counts = np.zeros((len(names), len(names)), np.int64)
    for true, predicted in pairs:
        counts[true, predicted] += 1
    return Confusion(names, counts)


def _error(row: Mapping[str, str], task: str) -> float:
    if task == "classification":
        return 1 - float(row[row["label"]])
    return abs(float(row["label"]) - float(row["prediction"]))


def _predicted(
    row: Mapping[str, str], run: Run, texts: Mapping[str, str], faces: Mapping[str, Thumbnail]
) -> Predicted:
    id, error, one = row["id"], _error(row, run.task), said(row, run)
    sure = plain(one.confidence)
    if run.task == "classification":
        shown = (row["label"], str(one.sentiment), sure)
    else:
        truth, score = (plain(float(row[of])) for of in ("label", "prediction"))
        shown = (truth, score, f"{one.sentiment}, {sure}")
    return Predicted(id, texts.get(id, ""), *shown, error, faces.get(id))


def said(row: Mapping[str, str], run: Run) -> Prediction:
    """A row of `predictions.csv` as `smp predict` would tell it."""
    if run.task == "classification":
        [one] = prediction.of_classes(np.array([[float(row[name]) for name in CLASSES]]))
    else:
        scores, off = np.array([float(row["prediction"])]), residuals(run.predictions)
        [one] = prediction.of_scores(scores, off, run.scale)
    return one


def _scatter(rows: Sequence[Mapping[str, str]], scale: Scale) -> Markup:
    """A point a clip, true scores across and predicted ones up; on the line is right."""
    limit = scale.limit * 1.05
    plot = Plot((-limit, limit), (-limit, limit), height=320, width=340)
    ticks = np.linspace(-scale.limit, scale.limit, 7 if scale.limit > 1 else 5).tolist()
    plot.grid(ticks)
    plot.add('<path class="mark" d="M{} {}L{} {}"/>', plot.at_x(-scale.limit),
             plot.at_y(-scale.limit), plot.at_x(scale.limit), plot.at_y(scale.limit))  # fmt: skip
    for row in rows:
        truth, prediction = float(row["label"]), float(row["prediction"])
        held = min(limit, max(-limit, prediction))
        plot.add('<circle class="point" cx="{}" cy="{}" r="2.5"/>', plot.at_x(truth),
                 plot.at_y(held))  # fmt: skip
    plot.below(labelled(ticks))
    return plot.figure("Predicted over true score", f"{len(rows)} clips", dotted="exact")
