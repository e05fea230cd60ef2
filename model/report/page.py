"""The report as a page: its parts in their order."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import version
from importlib.resources import files

from model.report import (
    comparisons,
    coverage,
    dataset,
    health,
    overview,
    predictions,
    provenance,
    training,
)
from model.report.context import ReportContext
from pipeline.html import templates
from pipeline.weights.random_weights import RANDOM_MARK, random_note

PARTS = (overview, dataset, coverage, health, training, comparisons, predictions, provenance)


def render(context: ReportContext) -> str:
    """The whole report as HTML."""
    template = templates(files("model.report")).get_template("report.html")
    template.globals.update(mark=RANDOM_MARK, random_note=random_note)
    now = datetime.now()
    return template.render(
        name=context.name,
        sections=[part.section(context) for part in PARTS],
        made=f"{now.day} {now:%B %Y, %H:%M}",
        version=version("smp-sentiment"),
    )
