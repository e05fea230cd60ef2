"""The first part: how far the work is, in a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.metrics import TITLES
from model.report.evidence import Evidence, Section
from model.report.runs import chosen
from pipeline.page.numbers import grouped, plain
from pipeline.status import problems_at_source


@dataclass(frozen=True)
class Overview:
    """figures: value and what it counts. next: what there is to do, and the command for it."""

    figures: Sequence[tuple[str, str]]
    next: Sequence[tuple[str, str]]


def section(evidence: Evidence) -> Section:
    """Key figures, and what comes next."""
    return Section("overview", "Overview", Overview(_figures(evidence), _next(evidence)))


def _figures(evidence: Evidence) -> list[tuple[str, str]]:
    problems = {problem.clip for _, problem in problems_at_source(list(evidence.stages))}
    figures = [(grouped(len(evidence.clips)), "clips")]
    if evidence.stages:
        done = sum(stage.partitions[0] == stage.partitions[1] for stage in evidence.stages)
        figures.append((f"{done}/{len(evidence.stages)}", "stages extracted"))
        figures.append((grouped(len(problems)), "clips that lack something"))
    if evidence.runs or evidence.experiments:
        figures.append((grouped(len(evidence.runs)), "trained models"))
    if best := chosen(evidence.runs):
        key = "acc2" if "acc2" in best.test else "acc3"
        title = TITLES[key]
        figures.append((f"{plain(100 * best.test[key], 1)} %", f"{title} of {best.name} on test"))
    return figures


def _next(evidence: Evidence) -> list[tuple[str, str]]:
    """The first things that are not there yet."""
    is_whole = all(stage.partitions[0] == stage.partitions[1] for stage in evidence.stages)
    if not evidence.stages:
        return [("Nothing is extracted yet.", evidence.command("extract"))]
    if not is_whole:
        return [("The extraction is not finished; it goes on with", evidence.command("extract"))]
    if not evidence.runs:
        return [("No model is trained yet.", evidence.command("train"))]
    if not evidence.experiments:
        return [("No models are compared yet.", evidence.command("compare"))]
    return []
