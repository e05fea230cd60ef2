"""The files of a run folder, and how they are read."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

WEIGHTS = "weights.safetensors"
SETTINGS, METRICS, PROVENANCE = "settings.json", "metrics.json", "provenance.json"
PREDICTIONS, CURVE = "predictions.csv", "curve.csv"


def read_json(run: Path, name: str) -> dict[str, Any]:
    """A file of a run folder; UserError where it can't be read."""
    try:
        return dict(json.loads((run / name).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise unreadable(run, name, error) from error


def read_rows(run: Path, name: str) -> list[dict[str, str]]:
    """A table of a run folder, a dict a line; UserError where it can't be read."""
    try:
        with (run / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise unreadable(run, name, error) from error


def unreadable(run: Path, name: str, error: Exception) -> UserError:
    """What to raise where a file of a run folder can't be read."""
    return UserError(f"{run} is no run folder: can't read {name} ({error})")


def as_json(value: Any) -> Any:
    """`value` with null for numbers that JSON has none for (nan, infinity)."""
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def from_json(value: Any) -> Any:
    """What `as_json` was given, with nan for null."""
    if isinstance(value, Mapping):
        return {key: from_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [from_json(item) for item in value]
    return float("nan") if value is None else value
