"""Optuna's study behind a search: what to try next, and a memory that outlives the process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.training.space import Range, Space, Value
from pipeline.errors import DamagedError, UserError
from pipeline.io.hashing import of_json

FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"
AT_RANDOM = 8  # trials before the sampler learns of those there are, and pruning begins
WARM_UP = 5  # epochs that each trial has
WHY, KILLED = "why", "killed"


@dataclass(frozen=True)
class Tried:
    """A trial that is over. state: FINISHED, STOPPED or FAILED. values: as tried.

    value: of the lead metric; the best so far where it was stopped. epochs: how many it ran. why:
    it failed.
    """

    number: int
    state: str
    value: float
    values: Mapping[str, Any]
    epochs: int
    seconds: float
    why: str = ""


class NoLock:
    """In place of Optuna's lock of a journal, which one that is killed leaves behind."""

    def acquire(self) -> bool:
        """Whoever has a journal open has hold of its folder."""
        return True

    def release(self) -> None:
        """Nothing is held."""


class Study:
    """Trials of one search in a journal, a file of JSON lines that one process has hold of. Another
    search in the same file is another study.

    Settings are suggested by a tree-structured Parzen estimator (Bergstra et al. 2011), which
    counts trials under way as bad ones so that those side by side differ; a trial is stopped whose
    best value so far is worse than the median of the others' at that epoch.
    """

    def __init__(
        self,
        file: Path,
        identity: Mapping[str, Any],
        space: Space,
        lower_is_better: bool,
        seed: int,
    ) -> None:
        optuna = _optuna()
        _cut_off_half_a_line(file)
        try:
            journal = optuna.storages.journal.JournalFileBackend(str(file), lock_obj=NoLock())
            self._study = optuna.create_study(
                storage=optuna.storages.JournalStorage(journal),
                study_name=of_json(identity)[:32],
                direction="minimize" if lower_is_better else "maximize",
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(AT_RANDOM, WARM_UP),
            )
        except (ValueError, LookupError, TypeError, AssertionError) as error:
            raise DamagedError(
                f"{file} is damaged; remove it, and the search begins anew"
            ) from error
        self._states = optuna.trial.TrialState
        self._lowest = min if lower_is_better else max
        self._distributions = {name: _distribution(values) for name, values in space.items()}
        self._begin_again()
        # Not the same numbers again where a search goes on.
        self._study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=AT_RANDOM, constant_liar=True, seed=seed + len(self._study.trials)
        )

    def _begin_again(self) -> None:
        """Have trials that were under way when their process ended done once more."""
        for trial in self._study.get_trials(states=[self._states.RUNNING]):
            self._study._storage.set_trial_user_attr(trial._trial_id, WHY, KILLED)
            self._study.tell(trial.number, state=self._states.FAIL)
            self._study.enqueue_trial(trial.params)

    def first_try(self, values: Mapping[str, Value]) -> None:
        """Have these values tried first, in a study that has no trials yet."""
        if not self._study.trials:
            self._study.enqueue_trial(dict(values))

    def ask(self) -> Any:
        """The next trial; `as_tried(trial.params)` are its values."""
        return self._study.ask(self._distributions)

    def is_hopeless(self, trial: Any, epoch: int, value: float) -> bool:
        """Whether a trial that reached `value` at an epoch is to be stopped."""
        trial.report(value, epoch)
        return bool(trial.should_prune())

    def finish(self, trial: Any, value: float) -> None:
        """A trial came to its end."""
        self._study.tell(trial, value)

    def stop(self, trial: Any) -> None:
        """A trial was stopped."""
        self._study.tell(trial, state=self._states.PRUNED)

    def fail(self, trial: Any, why: str) -> None:
        """A trial could not be done."""
        trial.set_user_attr(WHY, why)
        self._study.tell(trial, state=self._states.FAIL)

    def note(self, name: str, value: Any) -> None:
        """Remember something of the search."""
        self._study.set_user_attr(name, value)

    def noted(self, name: str, otherwise: Any) -> Any:
        """What was remembered."""
        return self._study.user_attrs.get(name, otherwise)

    @property
    def tried(self) -> list[Tried]:
        """The trials that are over, in the order in which they began."""
        states = {
            self._states.COMPLETE: FINISHED, self._states.PRUNED: STOPPED, self._states.FAIL: FAILED
        }  # fmt: skip
        return [
            self._tried(trial, states[trial.state])
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state in states and trial.user_attrs.get(WHY) != KILLED
        ]

    def _tried(self, trial: Any, state: str) -> Tried:
        reported = trial.intermediate_values
        best = self._lowest(reported.values(), default=float("nan"))
        return Tried(
            trial.number,
            state,
            trial.value if state == FINISHED else best,
            as_tried(trial.params),
            len(reported),
            trial.duration.total_seconds(),
            trial.user_attrs.get(WHY, ""),
        )

    def importance(self) -> dict[str, float]:
        """What share each setting has in how finished trials differ (fANOVA, Hutter et al. 2014).

        Nothing where fewer than AT_RANDOM finished, or where all came to the same.
        """
        optuna = _optuna()
        finished = [one for one in self.tried if one.state == FINISHED]
        if len(finished) < AT_RANDOM or len({one.value for one in finished}) == 1:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        return {name: float(share) for name, share in found.items()}


def _cut_off_half_a_line(file: Path) -> None:
    """What a process wrote last may be cut short, and what comes after it would be unreadable."""
    with file.open("ab+") as journal:
        journal.seek(0)
        journal.truncate(journal.read().rfind(b"\n") + 1)


def as_tried(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with as many digits as a person would write."""
    return {k: float(f"{v:.3g}") if isinstance(v, float) else v for k, v in values.items()}


def _distribution(values: Range | list[Value]) -> Any:
    distributions = _optuna().distributions
    if not isinstance(values, Range):
        return distributions.CategoricalDistribution(values)
    if values.is_whole:
        return distributions.IntDistribution(values.low, values.high, log=values.log)
    return distributions.FloatDistribution(values.low, values.high, log=values.log)


def _optuna() -> Any:
    # Imported here: an optional package, and a second.
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            f'a search needs the package optuna ({error}): pip install "smp-sentiment[tune]"'
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
