"""Which objective a training has: by its targets, and by what is wanted of a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from model.data.truth import scored
from model.metrics import SCALES, scale_within
from model.objectives.classes import Classes
from model.objectives.joint import Joint
from model.objectives.labels import Labels
from model.objectives.objective import Objective
from model.objectives.polarity import Polarity
from model.objectives.score import Score
from pipeline.dataset.clip import LABEL
from pipeline.dataset.target import Target
from pipeline.errors import UserError

Task = Literal["regression", "classification"]


def objective_of(
    targets: Sequence[Target], task: Task = "regression", weights: Mapping[str, float] | None = None
) -> Objective:
    """How the targets are learnt; several of them jointly, each loss by its weight, 1 by default.

    targets: scores have a range. Raises UserError for weights of no target, and for classes of a
    score that has none.
    """
    weights = weights or {}
    parts = [_single(target, task) for target in targets]
    names = [part.name for part in parts]
    if unknown := weights.keys() - set(names):
        told = ", ".join(names)
        raise UserError(f"target_weights: no target {', '.join(unknown)} is trained; only {told}")
    if len(parts) == 1:
        return parts[0]
    return Joint(name="", parts=parts, weights=[weights.get(name, 1.0) for name in names])


def recorded(settings: Mapping[str, Any]) -> Objective:
    """That of a run, by its settings; earlier versions recorded the scale of their score alone."""
    train, data = settings["train"], settings["data"]
    targets: Sequence[Target]
    if "targets" in data:
        targets = [Target(**target) for target in data["targets"]]
    else:
        targets = scored(SCALES[data["scale"]], data["target"] or LABEL)
    return objective_of(targets, train["task"], train.get("target_weights"))


def _single(target: Target, task: Task) -> Objective:
    if target.kind == "classes":
        return Classes(name=target.name, names=target.classes)
    if target.kind == "labels":
        return Labels(name=target.name, names=target.labels)
    assert target.range
    scale = scale_within(*target.range)
    if task == "regression":
        return Score(name=target.name, scale=scale)
    if not scale.finest:
        raise UserError(
            f"{target.name}: scores of {scale.name} have no negative, neutral and positive; leave "
            "out --task classification"
        )
    return Polarity(name=target.name, scale=scale)
