"""Face signals are what `action_units` kept, side by side, and no network runs for them."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.dag.spec import Stages
from pipeline.dataset.clip import Clip
from pipeline.encoders.face_signals import FIELDS
from pipeline.errors import UserError
from pipeline.extractors.face_signals import FaceSignals
from pipeline.stage.result import ClipInputs

STAGES: dict[str, dict[str, Any]] = {
    "frames": {},
    "faces": {"needs": "frames"},
    "action_units": {"needs": ["frames", "faces"], "weights": "random"},
    "face_signals": {"needs": "action_units"},
}


def with_signals(*signals: str, **settings: Any) -> Stages:
    units = {**STAGES["action_units"], "signals": list(signals)}
    own = {**STAGES["face_signals"], **settings}
    return Stages({"stages": {**STAGES, "action_units": units, "face_signals": own}})


def test_groups_stand_side_by_side_in_their_order() -> None:
    stage = FaceSignals(FaceSignals.Settings(groups=("affect", "gaze", "affect")))
    rows = {group: np.full((3, FIELDS[group].width or 0), i, np.float32)
            for i, group in enumerate(FIELDS)}  # fmt: skip
    [result] = stage.extract([ClipInputs(Clip("a"), rows)])
    assert result.rows["features"].tolist() == [[0, 0, 3, 3]] * 3
    assert stage.writes()["features"].width == 4
    assert FaceSignals(FaceSignals.Settings()).writes()["features"].width == 2 + 6 + 7 + 2


def test_what_action_units_does_not_keep_is_told_before_anything_runs() -> None:
    assert with_signals("gaze", "pose", "emotions", "affect")
    assert with_signals("mesh", groups=["mesh"])
    with pytest.raises(UserError, match="'face_signals' takes 'affect'.* or their settings"):
        with_signals("gaze", "pose", "emotions")


@pytest.mark.parametrize("groups", [[], ["smile"]])
def test_groups_are_known_ones(groups: list[str]) -> None:
    with pytest.raises(ValidationError):
        FaceSignals.Settings(groups=groups)
