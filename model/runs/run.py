"""A run: a training read back from its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from model.data.provenance import random_stages
from model.metrics import Metrics, sign
from model.objectives.choose import recorded
from model.objectives.objective import Objective
from model.runs import files, seal
from model.runs.files import METRICS, PROVENANCE, SETTINGS, WEIGHTS, folder_name, from_json
from model.runs.predictions import is_whole
from pipeline.dataset.layouts import name_of
from pipeline.errors import UserError

MARKS = (seal.SEAL, PROVENANCE, WEIGHTS)  # a folder that has any of these is, or was, a run

Rows = Sequence[Mapping[str, str]]
Curve = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Run:
    """A run folder. predictions, curve: its tables, a mapping a line. when_s: since 1970."""

    folder: Path
    settings: Mapping[str, Any]
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]
    predictions: Rows
    curve: Curve
    when_s: float

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Raises UserError where the folder is not as `smp train` writes it."""
        settings, metrics, provenance = (
            files.read_json(folder, name) for name in (SETTINGS, METRICS, PROVENANCE)
        )
        predictions, curve = (
            files.read_rows(folder, name) for name in (files.PREDICTIONS, files.CURVE)
        )
        with files.understood(folder, files.CURVE):
            points = [{k: float(v) for k, v in row.items()} for row in curve]
        with files.understood(folder, "its records"):
            when_s = (folder / METRICS).stat().st_mtime
            run = cls(folder, settings, metrics, provenance, predictions, points, when_s)
            run.require_whole()
        return run

    def require_whole(self) -> None:
        """Raise what a report would stumble over later."""
        _ = self.dataset, self.target, self.best_epoch, self.fingerprints
        _ = self.random_stages, self.left_out, self.results, self.constant
        _ = self.valid[self.objective.lead]
        fine = is_whole(*self.objective.read(self.predictions))
        for row, is_fine in zip(self.predictions, fine.tolist(), strict=True):
            if not is_fine:
                raise ValueError(f"the prediction of {row['id']!r} in {row['split']} isn't finite")
        for point in self.curve:
            _ = point["epoch"], point["train_loss"], point["valid_loss"]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def first_name(self) -> str:
        """What its folder is called where there is no other of its dataset, model and seed."""
        return folder_name(self.dataset, self.model, int(self.settings["train"]["seed"]))

    @property
    def is_sealed(self) -> bool:
        """Whether damage to it is seen; of runs of earlier versions it isn't."""
        return seal.is_sealed(self.folder)

    @property
    def dataset(self) -> str:
        return str(self.provenance["dataset"])

    @property
    def model(self) -> str:
        return str(self.settings["train"]["model"])

    @cached_property
    def objective(self) -> Objective:
        """What it has learnt."""
        return recorded(self.settings)

    @property
    def target(self) -> str:
        """Empty for the clip's score, else the name of what it has learnt."""
        return str(self.settings["data"]["target"])

    @property
    def judged(self) -> str:
        """The split that its results are of: `test`, or `valid` where there was no test split."""
        return "test" if "test" in self.metrics else "valid"

    @property
    def constant(self) -> Metrics:
        """On that split, the best that one answer can do for all clips: one class, if any."""
        references = self.metrics["references"]
        return dict(from_json(references.get("majority class") or references["median score"]))

    @property
    def valid(self) -> Metrics:
        return dict(from_json(self.metrics["valid"]))

    @property
    def results(self) -> Metrics:
        return dict(from_json(self.metrics[self.judged]))

    @property
    def best_epoch(self) -> int:
        return int(self.metrics["best_epoch"])

    @property
    def left_out(self) -> dict[str, dict[str, str]]:
        """By split, the clips that had nothing to go by, and why."""
        return {split: dict(clips) for split, clips in self.metrics.get("left_out", {}).items()}

    @property
    def random_stages(self) -> list[str]:
        """The stages whose weights were random when it was trained."""
        return random_stages(self.provenance)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the features that it was trained on, by stage."""
        return {name: s["fingerprint"] for name, s in self.provenance["stages"].items()}


def runs_of(dataset: str, folder: Path) -> tuple[list[Run], list[str]]:
    """A dataset's runs in `folder`, the newest first, and what is wrong with unreadable ones."""
    found, unreadable = [], []
    for path in _candidates(folder):
        try:
            found.append(Run.read(path))
        except UserError as error:
            unreadable.append(str(error))
    own = [run for run in found if run.dataset == dataset]
    return sorted(own, key=lambda run: run.when_s, reverse=True), unreadable


def _candidates(folder: Path) -> list[Path]:
    """What may be a run; not a folder whose saving was cut short, which has a dot before it."""
    named = {path.parent for name in MARKS for path in folder.glob(f"*/{name}")}
    return sorted(path for path in named if not path.name.startswith("."))


def find_run(
    given: str | Path, runs: Path, passed_over: Callable[[str], None] = lambda why: None
) -> Path:
    """The run folder that is `given`, or of a dataset, its folder or name, the newest in `runs`: of
    the dataset's score where there is one, else of any target.

    passed_over: told what is wrong with those that can't be read.
    """
    folder = Path(given)
    if any((folder / name).is_file() for name in (*MARKS, SETTINGS)):
        return folder
    dataset = name_of(given)
    found, unreadable = runs_of(dataset, runs)
    if not found:
        why = "".join(f"; {error}" for error in unreadable)
        raise UserError(f"{given} is no run folder, and {runs} has no run of {dataset!r}{why}")
    for error in unreadable:
        passed_over(error)
    return next((run for run in found if not run.target), found[0]).folder


def chosen(runs: Sequence[Run]) -> Run | None:
    """The run to look at more closely: the best on validation, of scores before classes.

    Runs of other targets come last, and only those of the newest one's. The test split has no part
    in it.
    """
    scores = [run for run in runs if not run.target and _lead(run) == "mae"]
    classes = [run for run in runs if _lead(run) == "acc3"]
    same = [run for run in runs if run.target == runs[0].target and _lead(run) == _lead(runs[0])]
    best = scores or classes or same
    return max(best, key=lambda run: sign(_lead(run)) * run.valid[_lead(run)], default=None)


def _lead(run: Run) -> str:
    return run.objective.lead
