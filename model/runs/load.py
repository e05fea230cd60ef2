"""Loads the model of a run folder, or says why that can't be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from model.data.channels import VERSION
from model.data.scaler import Scaler
from model.registry import build
from model.runs.files import SETTINGS, WEIGHTS, read_json, unreadable
from model.training.predictor import Predictor
from pipeline.errors import UserError


def load_model(run: Path) -> Predictor:
    """The model of a run folder, on the CPU, ready to predict.

    Raises UserError where the folder has no readable weights, or those of another version, or
    where the features that it was trained on would be put together otherwise now.
    """
    path = run / WEIGHTS
    try:
        with safe_open(path, framework="pt") as file:
            spec = json.loads(file.metadata()["model"])
        state = load_file(path)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise unreadable(run, WEIGHTS, error) from error
    _require_same_channels(run)
    network = build(spec["name"], spec["widths"], spec["outputs"], spec["settings"])
    predictor = Predictor(Scaler(spec["widths"]), network)
    try:
        predictor.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(
            f"{run}: its weights are of another version of {spec['name']!r}; train it again"
        ) from error
    return predictor.eval()


def joins_as_now(data: Mapping[str, Any]) -> bool:
    """Whether a run's channels became modalities as they do now; `data` is of its settings."""
    is_joined = any(len(stages) > 1 for stages in data["channels"].values())
    return not is_joined or data.get("version", 1) == VERSION


def _require_same_channels(run: Path) -> None:
    data = read_json(run, SETTINGS)["data"]
    if not joins_as_now(data):
        raise UserError(
            f"{run}: version {data.get('version', 1)} put its channels side by side, which is "
            f"version {VERSION} now and gives other features; train it again"
        )
