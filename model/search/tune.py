"""A search: trials side by side on validation, the best of them once more with other seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from model.data.samples import Samples
from model.experiments.experiment import name_of, task_of
from model.experiments.identity import digest_of, identity
from model.metrics import sign
from model.objectives.choose import objective_of
from model.search.found import Budget, Finalist, Found
from model.search.study import FINISHED, Study, Tried, as_tried
from model.training.given import merged, nested
from model.training.loop import Trained
from model.training.presets import Preset
from model.training.seeds import train_all
from model.training.settings import TrainSettings
from model.training.side_by_side import Enough, Row, Training
from model.training.space import Space, space_of, values_of
from pipeline.errors import UserError
from pipeline.io.folder import Folder
from pipeline.io.lock import held

FILE = "trials.log"
SEEDS = 3  # of each finalist; trials have the first
FINALISTS = 3  # and the preset
AGAIN, SECONDS = "again", "seconds"

Show = Callable[[float, str], None]


def tune(
    samples: Samples,
    preset: Preset,
    given: Mapping[str, Any],
    budget: Budget,
    runs: Path,
    out: Path | None = None,
    show: Show = lambda done, text: None,
) -> Found:
    """The best settings for `preset.model` on `samples`, of as many trials as the budget has.

    given: settings that stay as they are. The first trial is the preset. Clips of the test split
    are taken away before anything is trained. A search that was broken off goes on.
    Raises UserError where there is nothing to search, where another process is at it, or where no
    trial comes to an end.
    """
    base, space = preset.with_options(given), space_of(preset, given)
    if not space:
        raise UserError(f"{preset.model}: every setting of its space is given; nothing to search")
    folder = (
        out
        or runs / f"{samples.name}-{name_of(samples, 'tune', preset.model, task_of(samples, base))}"
    )
    with held(Folder(folder)):
        search = _Search(samples.only(samples.splits != "test"), preset, given, space, folder)
        search.try_all(budget, show)
        return search.found(samples.name, budget, folder, show)


class _Search:
    """A search under way."""

    def __init__(
        self, samples: Samples, preset: Preset, given: Mapping[str, Any], space: Space, folder: Path
    ) -> None:
        self.samples, self.preset, self.given, self.space = samples, preset, given, space
        self.base = preset.with_options(given)
        weights = self.base.target_weights
        self.lead = objective_of(samples.targets, self.base.task, weights).lead
        of = identity(samples, digest_of(samples), self.base, self.base.seed)
        about = {**of, "space": repr(sorted(space.items())), "lead": self.lead}
        lower_is_better = sign(self.lead) < 0
        self.study = Study(folder / FILE, about, space, lower_is_better, self.base.seed)
        self.study.first_try(values_of(self.base, space))
        self._before, self._began = self.study.noted(SECONDS, 0.0), time.monotonic()

    @property
    def seconds(self) -> float:
        """Spent so far, in this process and those before."""
        return float(self._before) + time.monotonic() - self._began

    def settings(self, values: Mapping[str, Any], seed: int | None = None) -> TrainSettings:
        """Of a trial with such values."""
        of_seed = {} if seed is None else {"seed": seed}
        return self.preset.with_options(merged(merged(self.given, nested(values)), of_seed))

    def keep(self, trained: Trained) -> float:
        return float(trained.metrics["valid"][self.lead])

    def try_all(self, budget: Budget, show: Show) -> None:
        def waiting() -> Iterator[_Trial]:
            begun = len(self.study.tried)
            while begun < budget.trials and self.seconds < budget.seconds:
                trial = self.study.ask()
                begun += 1
                try:
                    settings = self.settings(as_tried(trial.params))
                except UserError as error:
                    self.study.fail(trial, str(error))
                else:
                    yield _Trial(settings, self, trial, budget, show)

        train_all(self.samples, self.base, waiting(), self.keep)

    def finalists(self, show: Show) -> list[Finalist]:
        """The best trials and the first, the preset, with every seed; the best on average first."""
        direction = -sign(self.lead)
        finished = [t for t in self.study.tried if t.state == FINISHED and isfinite(t.value)]
        if not finished:
            raise UserError("no trial came to its end; give a larger budget, or other settings")
        best = sorted(finished, key=lambda one: direction * one.value)[:FINALISTS]
        best += [one for one in finished if one.number == 0 and one not in best]
        again: dict[str, float] = self.study.noted(AGAIN, {})
        seeds = [self.base.seed + k for k in range(1, SEEDS)]
        missing = [(t, seed) for t in best for seed in seeds if f"{t.number} {seed}" not in again]
        waiting = (_Again(self.settings(t.values, seed), self, t, show) for t, seed in missing)
        train_all(self.samples, self.base, waiting, self.keep, bool(missing))
        again = self.study.noted(AGAIN, {})
        found = [
            Finalist(t, [t.value, *(again[f"{t.number} {seed}"] for seed in seeds)]) for t in best
        ]
        return sorted(found, key=lambda one: direction * one.value)

    def found(self, name: str, budget: Budget, folder: Path, show: Show) -> Found:
        finalists = self.finalists(show)
        return Found(
            name=name,
            preset=self.preset,
            settings=self.settings(finalists[0].tried.values),
            space=self.space,
            lead=self.lead,
            budget=budget,
            tried=self.study.tried,
            finalists=finalists,
            importance=self.study.importance(),
            seconds=self.seconds,
            folder=folder,
        )


@dataclass
class _Trial(Training[float]):
    search: _Search
    trial: Any
    budget: Budget
    show: Show

    def told(self, row: Row) -> None:
        study, value = self.search.study, row[f"valid_{self.search.lead}"]
        hopeless = study.is_hopeless(self.trial, int(row["epoch"]), value)
        if hopeless or self.search.seconds > self.budget.seconds:
            self.over("stopped")
            study.stop(self.trial)
            raise Enough

    def ended(self, kept: float) -> None:
        self.search.study.finish(self.trial, kept)
        self.over(f"{self.search.lead} {kept:.3f}")

    def failed(self, error: UserError) -> None:
        self.search.study.fail(self.trial, str(error))
        self.over(str(error))

    def over(self, what: str) -> None:
        study = self.search.study
        study.note(SECONDS, self.search.seconds)
        self.show(len(study.tried), f"trial {self.trial.number}: {what}")


@dataclass
class _Again(Training[float]):
    search: _Search
    tried: Tried
    show: Show

    def ended(self, kept: float) -> None:
        study, number, seed = self.search.study, self.tried.number, self.settings.seed
        study.note(AGAIN, {**study.noted(AGAIN, {}), f"{number} {seed}": kept})
        self.show(len(study.tried), f"trial {number}, seed {seed}")
