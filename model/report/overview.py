"""The first part: how far the work is, in a few numbers."""

from __future__ import annotations

from model.metrics import is_share, measure, title
from model.report.context import ReportContext, Section
from model.report.dataset import LANGUAGES
from model.runs.files import SPOKEN
from model.runs.run import Run, chosen
from pipeline.html.numbers import grouped, plain
from pipeline.messages import listed
from pipeline.store.status import problems_at_source, random_stages

NAMED = 5  # targets of clips without a score
HEADLINES = ("acc2", "acc3", "acc", "wacc", "ccc")  # the first of these that a run has is shown


def section(context: ReportContext) -> Section:
    """Key figures, and what comes next."""
    content = {
        "lead": _lead(context),
        "figures": _figures(context),  # values, and what they count
        "next": _next(context),  # what there is to do, and the command for it
        "random_stages": random_stages(context.stages),
    }
    return Section("overview", "Overview", content)


def _lead(context: ReportContext) -> str:
    scores = [clip.label for clip in context.clips if clip.label is not None]
    spread = f"scored from {plain(min(scores), 1)} to {plain(max(scores), 1)}" if scores else ""
    language = LANGUAGES.get(context.language, context.language)
    named = {column.partition("_")[2] for clip in context.clips for column, _ in clip.values()}
    others = f"labelled with {listed(sorted(named), NAMED)}" if named - {""} else "without scores"
    return f"Clips with {language} transcripts, {spread or others}."


def _figures(context: ReportContext) -> list[tuple[str, str]]:
    problems = {problem.clip for _, problem in problems_at_source(list(context.stages))}
    figures = [(grouped(len(context.clips)), "clips")]
    if context.stages:
        done = sum(stage.partitions[0] == stage.partitions[1] for stage in context.stages)
        figures.append((f"{done}/{len(context.stages)}", "stages extracted"))
        incomplete = "incomplete clip" if len(problems) == 1 else "incomplete clips"
        figures.append((grouped(len(problems)), incomplete))
    if context.runs:
        trained = "trained model" if len(context.runs) == 1 else "trained models"
        figures.append((grouped(len(context.runs)), trained))
    if best := chosen(context.runs):
        figures.append(_accuracy(best))
    return figures


def _accuracy(run: Run) -> tuple[str, str]:
    """Of its results, beside the best that one answer for every clip can do."""
    results, on = run.results, SPOKEN[run.judged]
    key = next(key for name in HEADLINES for key in results if measure(key) == name)
    if not is_share(key):
        return plain(results[key]), f"{title(key)} on {on}"
    constant = plain(100 * run.constant[key], 1)
    told = f"{title(key)} on {on}; the majority class has {constant}\u00a0%"
    return f"{plain(100 * results[key], 1)}\u00a0%", told


def _next(context: ReportContext) -> list[tuple[str, str]]:
    """The first things that are not there yet."""
    is_whole = all(stage.partitions[0] == stage.partitions[1] for stage in context.stages)
    if not context.stages:
        return [("Nothing is extracted yet.", context.command("extract"))]
    if not is_whole:
        return [("The extraction is not finished; it goes on with", context.command("extract"))]
    if not context.runs:
        return [("No model is trained yet.", context.command("train"))]
    if not context.experiments:
        return [("No models are compared yet.", context.command("compare"))]
    return []
