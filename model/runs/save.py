"""A training's outcome as a folder that says all about it and rebuilds the model."""

from __future__ import annotations

import csv
import errno
import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from safetensors import SafetensorError
from safetensors.torch import save_file

from model.data import left_out
from model.data.channels import VERSION
from model.data.samples import Samples
from model.objectives.single_modality import of_single_modalities
from model.runs import predictions, seal
from model.runs.files import (
    CURVE,
    METRICS,
    PREDICTIONS,
    PROVENANCE,
    SETTINGS,
    WEIGHTS,
    folder_name,
    write_json,
)
from model.training.loop import Trained
from model.training.presets import Preset
from model.training.settings import TrainSettings
from pipeline.io.atomic_write import remove, sweep, sync


def save_run(
    trained: Trained,
    samples: Samples,
    settings: TrainSettings,
    runs: Path,
    preset: Preset | None = None,
) -> Path:
    """Write `runs/<dataset>-<model>-seed<seed>[-k]`, sealed, in one step; return where it is.

    An earlier run is never overwritten; k counts up instead. preset: what the settings come from.
    """
    name = name_of(samples, settings)
    sweep(runs / name)
    part = runs / f".{name}.{uuid4().hex}.partial"
    part.mkdir(parents=True)
    try:
        _write(part, trained, samples, settings, preset)
        seal.write(part)
        return _publish(part, runs / name)
    finally:
        remove(part)


def name_of(samples: Samples, settings: TrainSettings) -> str:
    """What the folder of a training is called where there is none of that name yet."""
    return folder_name(samples.name, settings.model, settings.seed)


def require_writable(runs: Path) -> None:
    """Raise OSError, before hours of training, where no run folder could be written."""
    runs.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=runs, prefix=".", suffix=".partial"):
        pass


def _write(
    folder: Path, trained: Trained, samples: Samples, settings: TrainSettings, preset: Preset | None
) -> None:
    network, objective = trained.predictor.network, trained.predictor.objective
    alone = of_single_modalities(objective) if settings.own_vectors else {}
    spec = {  # what rebuilds the network; it travels inside the weights file
        "name": settings.model,
        "widths": network.widths,
        "outputs": network.outputs,
        "settings": network.settings.model_dump(),
        **({"alone": alone} if alone else {}),
        **({"finetune": settings.finetune.model_dump()} if settings.finetune else {}),
    }
    data = {
        "target": samples.target,
        "scale": samples.scale.name,
        "targets": [target.to_json() for target in samples.targets],
        "channels": samples.channels,
        "version": VERSION,
    }
    origin = {"preset": preset.to_json(settings)} if preset else {}
    used = {"train": settings.model_dump(), **origin, "data": data, "model": spec}
    libraries = {name: version(name) for name in ("torch", "numpy")}
    write_json(folder, SETTINGS, used)
    write_json(folder, METRICS, _metrics(trained, samples))
    write_json(folder, PROVENANCE, {**samples.provenance, "libraries": libraries, "sealed": True})
    _write_csv(folder / CURVE, trained.curve[0], (list(row.values()) for row in trained.curve))
    rows = predictions.rows(trained, samples)
    _write_csv(folder / PREDICTIONS, predictions.columns(trained), rows)
    state = {k: v.detach().cpu().contiguous() for k, v in trained.predictor.state_dict().items()}
    try:
        save_file(state, folder / WEIGHTS, metadata={"model": json.dumps(spec)})
    except SafetensorError as error:  # its way to say that the disk is full
        raise OSError(errno.EIO, str(error), str(folder / WEIGHTS)) from error


def _metrics(trained: Trained, samples: Samples) -> dict[str, Any]:
    return {
        **trained.metrics,
        "references": trained.references,
        "splits": samples.table(),
        "left_out": left_out.to_json(samples.left_out),
        "notes": list(samples.notes),
        "random_weights": samples.random_stages,
        "best_epoch": trained.best_epoch,
        "epochs": len(trained.curve),
        "seconds": round(trained.seconds, 3),
    }


def _publish(part: Path, wanted: Path) -> Path:
    """Rename to the first name that is free, even where several runs end at once."""
    names = chain([wanted], (wanted.with_name(f"{wanted.name}-{k}") for k in count(2)))
    while True:
        target = next(names)
        try:
            part.rename(target)
        except OSError:  # only a folder that is there and not empty is in the way
            if not target.exists():
                raise
            continue
        sync(target.parent)
        return target


def _write_csv(path: Path, columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
