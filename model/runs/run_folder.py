"""A training's outcome as a folder that says all about it and rebuilds the model."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from model.data import left_out
from model.data.channels import VERSION
from model.data.samples import Samples
from model.data.scaler import Scaler
from model.network import CLASSES
from model.registry import build
from model.training.loop import Trained
from model.training.predictor import Predictor
from model.training.presets import Preset
from model.training.settings import TrainSettings
from pipeline.dataset.clip import SPLITS
from pipeline.errors import UserError

WEIGHTS, SETTINGS, METRICS, PROVENANCE = (
    "weights.safetensors",
    "settings.json",
    "metrics.json",
    "provenance.json",
)
PREDICTIONS, CURVE = "predictions.csv", "curve.csv"


def save(
    trained: Trained,
    samples: Samples,
    settings: TrainSettings,
    runs: Path,
    preset: Preset | None = None,
) -> Path:
    """Write `runs/<dataset>-<model>-seed<seed>[-k]` in one step and return where it is.

    An earlier run is never overwritten; k counts up instead. preset: what the settings come from.
    """
    name = name_of(samples, settings)
    part = runs / f".{name}.{os.getpid()}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _write(part, trained, samples, settings, preset)
        return _publish(part, runs / name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def name_of(samples: Samples, settings: TrainSettings) -> str:
    """What a run is called, as long as nothing else is."""
    return f"{samples.name}-{settings.model}-seed{settings.seed}"


def require_writable(runs: Path) -> None:
    """Raise OSError, before hours of training, where no run folder could be written."""
    runs.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=runs, prefix=".", suffix=".part"):
        pass


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
        raise UserError(f"{run} is no run folder: can't read {WEIGHTS} ({error})") from error
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


def read_json(run: Path, name: str) -> dict[str, Any]:
    """A file of a run folder; UserError where there is none that can be read."""
    try:
        return dict(json.loads((run / name).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{run} is no run folder: can't read {name} ({error})") from error


def read_rows(run: Path, name: str) -> list[dict[str, str]]:
    """A table of a run folder, a dict a line; UserError where there is none that can be read."""
    try:
        with (run / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{run} is no run folder: can't read {name} ({error})") from error


def residuals(rows: Iterable[Mapping[str, str]]) -> np.ndarray:
    """True minus predicted score of the validation clips among predictions, float64 [n]."""
    valid = [row for row in rows if row["split"] == "valid"]
    return np.array([float(row["label"]) - float(row["prediction"]) for row in valid])


def read_residuals(run: Path) -> np.ndarray:
    """As `residuals`, of a run."""
    rows = read_rows(run, PREDICTIONS)
    try:
        return residuals(rows)
    except (ValueError, KeyError) as error:
        raise UserError(f"{run} is no run folder: can't read {PREDICTIONS} ({error})") from error


def as_json(value: Any) -> Any:
    """`value` with null for numbers that JSON has none for (nan, infinity)."""
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def from_json(value: Any) -> Any:
    """Numbers that `as_json` made fit for JSON, nan for null again."""
    if isinstance(value, Mapping):
        return {key: from_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [from_json(item) for item in value]
    return float("nan") if value is None else value


def _write(
    folder: Path, trained: Trained, samples: Samples, settings: TrainSettings, preset: Preset | None
) -> None:
    spec = _spec(trained, settings)
    data = {
        "target": samples.target,
        "scale": samples.scale.name,
        "channels": samples.channels,
        "version": VERSION,
    }
    origin = {"preset": preset.to_json(settings)} if preset else {}
    used = {"train": settings.model_dump(), **origin, "data": data, "model": spec}
    _write_json(folder / SETTINGS, used)
    _write_json(folder / METRICS, _metrics(trained, samples))
    libraries = {name: version(name) for name in ("torch", "numpy")}
    _write_json(folder / PROVENANCE, {**samples.provenance, "libraries": libraries})
    _write_csv(folder / CURVE, trained.curve[0], [list(row.values()) for row in trained.curve])
    _write_csv(folder / PREDICTIONS, *_predictions(trained, samples))
    state = {k: v.detach().cpu().contiguous() for k, v in trained.predictor.state_dict().items()}
    try:
        save_file(state, folder / WEIGHTS, metadata={"model": json.dumps(spec)})
    except SafetensorError as error:  # its way to say that the disk is full
        raise OSError(errno.EIO, str(error), str(folder / WEIGHTS)) from error


def _spec(trained: Trained, settings: TrainSettings) -> dict[str, Any]:
    """What rebuilds the network; it travels inside the weights file."""
    network = trained.predictor.network
    return {
        "name": settings.model,
        "widths": network.widths,
        "outputs": network.outputs,
        "settings": network.settings.model_dump(),
    }


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


def _predictions(trained: Trained, samples: Samples) -> tuple[Sequence[str], Iterator[list[Any]]]:
    """Column names, and a row a clip, split by split."""
    is_score = trained.predictor.network.outputs == 1
    columns = ["id", "split", "label", "prediction", *(() if is_score else CLASSES)]
    return columns, _prediction_rows(trained, samples, is_score)


def _prediction_rows(trained: Trained, samples: Samples, is_score: bool) -> Iterator[list[Any]]:
    classes = samples.scale.three_classes(samples.labels)
    for split in SPLITS:
        rows = np.flatnonzero(samples.splits == split).tolist()
        for row, y in zip(rows, trained.predictions[split].tolist(), strict=True):
            id = samples.ids[row]
            if is_score:
                yield [id, split, float(samples.labels[row]), y]
            else:
                yield [id, split, CLASSES[classes[row]], CLASSES[int(np.argmax(y))], *y]


def _publish(part: Path, wanted: Path) -> Path:
    """Rename to the first name that is free, even where several runs end at once."""
    k = 1
    while True:
        target = wanted if k == 1 else wanted.with_name(f"{wanted.name}-{k}")
        try:
            part.rename(target)
        except OSError:  # only a folder that is there and not empty is in the way
            if not target.exists():
                raise
            k += 1
        else:
            return target


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(as_json(value), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _write_csv(path: Path, columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
