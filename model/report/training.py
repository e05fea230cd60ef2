"""The trainings: what each was told, what it reached, and how it got there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from model.metrics import ordered, shown, title
from model.report.context import ReportContext, Section
from model.runs.load import joins_as_now
from model.runs.run import Run
from pipeline.html import charts
from pipeline.html.numbers import plain
from pipeline.messages import listed

MOST_CURVES = 9
NAMED = 3  # clips that a run left out


@dataclass(frozen=True)
class Trainings:
    """columns: metrics that any run has. is_current: by run, whether the same features would be
    put together to the same numbers today."""

    runs: Sequence[Run]
    columns: Sequence[str]
    curves: Sequence[Markup]
    is_current: Sequence[bool]
    unreadable: Sequence[str]
    train: str

    @property
    def headings(self) -> list[str]:
        """What the columns are called."""
        return [title(key) for key in self.columns]

    def cells(self, run: Run) -> list[str]:
        """A run's results: shares in per cent, MAE and Corr as they are."""
        return [shown(key, run.results.get(key)) for key in self.columns]

    def lowest_loss(self, run: Run) -> float:
        """On validation, where the kept epoch was chosen by it."""
        return min((row["valid_loss"] for row in run.curve), default=float("nan"))

    @property
    def unsealed(self) -> list[str]:
        """The runs of earlier versions, which can't be checked for damage."""
        return [run.name for run in self.runs if not run.is_sealed]

    @property
    def has_untested(self) -> bool:
        """Whether there is a run of a dataset without a test split."""
        return any(run.judged == "valid" for run in self.runs)

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """How many clips each run left out, and some of them, where it left any out."""
        return [(run.name, _left_out(run.left_out)) for run in self.runs if run.left_out]

    @property
    def random_stages(self) -> list[str]:
        """The stages that had random weights in any run."""
        return sorted({stage for run in self.runs for stage in run.random_stages})


def section(context: ReportContext) -> Section:
    """A table of runs, and the curves of the newest."""
    runs = context.runs
    content = Trainings(
        runs,
        ordered({key: 0 for run in runs for key in run.results}),
        [_curve(run) for run in runs[:MOST_CURVES]],
        [_is_current(run, context) for run in runs],
        context.unreadable,
        context.command("train"),
    )
    return Section("training", "Training", content)


def _left_out(clips: Mapping[str, Mapping[str, str]]) -> str:
    counts = ", ".join(f"{len(own)} {split}" for split, own in clips.items())
    told = [f"{clip} ({why})" for own in clips.values() for clip, why in own.items()]
    return f"{counts}: {listed(told, NAMED)}"


def _curve(run: Run) -> Markup:
    epochs = [row["epoch"] for row in run.curve]
    loss = {
        "validation": [row["valid_loss"] for row in run.curve],
        "training": [row["train_loss"] for row in run.curve],
    }
    lowest = plain(min(loss["validation"], default=None), 3)
    summary = f"Lowest validation loss {lowest}, at epoch {run.best_epoch}"
    return charts.lines(run.name, epochs, loss, ("kept", run.best_epoch), summary)


def _is_current(run: Run, context: ReportContext) -> bool:
    now = {s.stage: s.fingerprint for s in context.stages}
    is_same = all(now.get(stage) == known for stage, known in run.fingerprints.items())
    return is_same and joins_as_now(run.settings["data"])
