"""Loads the model of a run folder, or says why that can't be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch.nn.modules.module import register_module_parameter_registration_hook

from model.data.channels import VERSION
from model.data.scaler import Scaler
from model.finetune.encoder import Encoder
from model.finetune.network import FineTuned
from model.finetune.settings import FineTune
from model.finetune.text_stage import text_stage
from model.objectives.choose import recorded
from model.objectives.objective import Objective
from model.registry import build
from model.runs.files import (
    PROVENANCE,
    SETTINGS,
    WEIGHTS,
    checked,
    read_json,
    understood,
    unreadable,
)
from model.runs.seal import WAY_OUT
from model.training.predictor import Predictor
from pipeline.dag.trust import is_listed
from pipeline.errors import DamagedError, UserError
from pipeline.io.plugin import is_outside

UNREADABLE = (  # what reading weights, and building what they say they are of, may fail with
    OSError, SafetensorError, LookupError, TypeError, ValueError, AttributeError, RuntimeError,
    ArithmeticError, AssertionError,
)  # fmt: skip


def load_model(
    run: Path, trust: bool = False, weights: Mapping[str, str] | None = None
) -> Predictor:
    """The model of a run folder, on the CPU, ready to predict.

    trust: it may be a model of a module outside the package. weights: where those of the stage that
    was fine-tuned are, if they lie elsewhere than they did.
    Raises UserError where that isn't trusted, where the folder has no readable weights, or those of
    another version, or where the features that it was trained on would be put together otherwise
    now; DamagedError where its weights are not those that were written, or no finite numbers.
    """
    path = checked(run, WEIGHTS)
    objective = _objective(run)
    try:
        with safe_open(path, framework="pt") as file:
            spec = json.loads(file.metadata()["model"])
        _require_own(run, spec["name"], trust)
        state = load_file(path)
        with _at_most(sum(tensor.numel() for tensor in state.values())):
            of = spec["widths"], spec["outputs"], spec["settings"], spec.get("alone", {})
            network = build(spec["name"], *of)
        if "finetune" in spec:
            network = FineTuned(network, _encoder(run, FineTune(**spec["finetune"]), weights))
        predictor = Predictor(Scaler(spec["widths"]), network, objective)
        wanted = predictor.state_dict()
        if _shapes(state) != _shapes(wanted):
            raise UserError(
                f"{run}: its weights are of another version of {spec['name']!r}; train it again"
            )
    except UNREADABLE as error:
        raise unreadable(run, WEIGHTS, error) from error
    for name, tensor in state.items():
        if tensor.dtype != wanted[name].dtype or not tensor.isfinite().all():
            raise DamagedError(f"{path}: {name} holds what is no finite number; {WAY_OUT}")
    predictor.load_state_dict(state)
    return predictor.eval()


def _encoder(run: Path, settings: FineTune, weights: Mapping[str, str] | None) -> Encoder:
    """That of the stage which made the text, with the weights from which training went on."""
    data, provenance = read_json(run, SETTINGS)["data"], read_json(run, PROVENANCE)
    return Encoder(
        text_stage(data["channels"], provenance["extraction"], weights, str(run)), settings
    )


def _require_own(run: Path, model: str, trust: bool) -> None:
    if is_outside(model) and not (trust or is_listed(run)):
        raise UserError(
            f"{run} comes with data, and would run what is not in this package: its model is "
            f"{model}; add --trust if you wrote it"
        )


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


@contextmanager
def _at_most(weights: int) -> Iterator[None]:
    """ValueError in place of far more parameters than `weights`, before any gets a value."""
    registered = 0

    def see(_: object, name: str, parameter: torch.Tensor | None) -> None:
        nonlocal registered
        registered += 0 if parameter is None else parameter.numel()
        if registered > 4 * weights:  # a model may register one several times
            raise ValueError(f"its settings need more than its {weights} weights")

    handle = register_module_parameter_registration_hook(see)
    try:
        yield
    finally:
        handle.remove()


def joins_as_now(data: Mapping[str, Any]) -> bool:
    """Whether a run's channels became modalities as they do now; `data` is of its settings."""
    is_joined = any(len(stages) > 1 for stages in data["channels"].values())
    return not is_joined or data.get("version", 1) == VERSION


def _objective(run: Path) -> Objective:
    """What the run has learnt, of channels that are put together as they are now."""
    settings = read_json(run, SETTINGS)
    with understood(run, SETTINGS):
        objective = recorded(settings)
        version, is_same = settings["data"].get("version", 1), joins_as_now(settings["data"])
    if not is_same:
        raise UserError(
            f"{run}: version {version} put its channels side by side, which is version {VERSION} "
            "now and gives other features; train it again"
        )
    return objective
