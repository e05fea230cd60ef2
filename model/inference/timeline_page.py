"""The page of a long video: it plays beside the curve of its scores, its words and its faces."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from math import isfinite, nan
from pathlib import Path
from typing import Any
from urllib.parse import quote

from model.inference.predict import TrainedModel
from model.inference.timeline import Part
from model.objectives.objective import Objective
from model.objectives.score import Score
from pipeline.html import data_uri, strip, templates
from pipeline.html.charts import Plot, Series, labelled, nice_ticks, ticks_within
from pipeline.messages import counted

SIZE_PX, QUALITY = 56, 75  # of a face
WIDTH, HEIGHT = 900, 200  # of the curve
SCORE = "score"


def page(
    video: Path, where: Path, model: TrainedModel, parts: Sequence[Part], notes: Sequence[str]
) -> str:
    """The page as HTML, to be written to `where`; it plays the video where that is.

    parts: at least one. notes: what to know of the predictions.
    """
    ends_s, series = parts[-1].utterance.end_s, _series(parts)
    plot = _plot(parts, series, _range(model.predictor.objective, series), ends_s)
    title = "Score over time" if SCORE in series else "Probabilities over time"
    source = quote(os.path.relpath(video.absolute(), where.absolute().parent))
    return (
        templates(files("model.inference"))
        .get_template("timeline.html")
        .render(
            name=video.name,
            run=str(model.run),
            video=source,
            count=counted(len(parts), "utterance"),
            ends=clock(ends_s),
            curve=plot.figure(title, "", list(series) if len(series) > 1 else [], wide=True),
            at=(plot.at_x(0), plot.at_x(ends_s), WIDTH, ends_s),
            rows=[_row(part) for part in parts],
            notes=notes,
        )
    )


def clock(seconds: float) -> str:
    """75.25 as 1:15.2, and hours where there are any."""
    tenths = int(seconds * 10 + 1e-6)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    told = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{told}:{rest // 10:02}.{rest % 10}"


def _series(parts: Sequence[Part]) -> Series:
    """What is drawn over time: the score, or where there is none each class's probability."""
    said = [part.said for part in parts]
    if any(one.score is not None for one in said):
        return {SCORE: [nan if one.score is None else one.score for one in said]}
    names = dict.fromkeys(name for one in said for name in one.probabilities)
    return {name: [one.probabilities.get(name, nan) for one in said] for name in names}


def _range(objective: Objective, series: Series) -> tuple[float, float]:
    """Where the values of the curve may lie, so that small differences look small."""
    if SCORE not in series:
        return 0.0, 1.0
    scale = (objective.scale.low, objective.scale.high) if isinstance(objective, Score) else ()
    known = [value for value in (*scale, *series[SCORE]) if isfinite(value)] or [0.0]
    return min(known), max(known)


def _plot(
    parts: Sequence[Part], series: Series, limits: tuple[float, float], ends_s: float
) -> Plot:
    """A level line for each utterance, at its value; gaps where nobody speaks."""
    ticks = nice_ticks(*limits)
    plot = Plot((0, ends_s), (ticks[0], ticks[-1]), height=HEIGHT, width=WIDTH)
    plot.grid(ticks)
    for number, values in reversed(list(enumerate(series.values(), 1))):
        for part, value in zip(parts, values, strict=True):
            times_s = part.utterance.start_s, part.utterance.end_s
            plot.path([(time_s, value) for time_s in times_s], number)
    plot.below([(tick, f"{label} s") for tick, label in labelled(ticks_within((0, ends_s)))])
    plot.add('<path class="now" d="M0 {}V{}"/>', plot.top, HEIGHT - plot.bottom)
    return plot


def _row(part: Part) -> dict[str, Any]:
    faces = data_uri(strip(part.faces, SIZE_PX), quality=QUALITY) if len(part.faces) else ""
    one, said = part.utterance, part.said
    lacks = ", ".join(said.missing)
    return {
        "start": one.start_s,
        "end": one.end_s,
        "time": f"{clock(one.start_s)} – {clock(one.end_s)}",
        "text": one.text,
        "faces": faces,
        "width": len(part.faces) * SIZE_PX,
        "told": said.told,
        "lacks": said.error or (f"without {lacks}" if lacks else ""),
    }
