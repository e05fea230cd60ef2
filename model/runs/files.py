"""The files of a run folder, and how they are read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

from model.runs import seal
from pipeline.errors import DamagedError, UserError
from pipeline.io import strict_json
from pipeline.messages import one_line

WEIGHTS = "weights.safetensors"
SETTINGS, METRICS, PROVENANCE = "settings.json", "metrics.json", "provenance.json"
PREDICTIONS, CURVE = "predictions.csv", "curve.csv"
SPOKEN = {"valid": "validation", "test": "test"}  # what people call a split


def checked(run: Path, name: str) -> Path:
    """Where a file of a run folder is; UserError where it is not there as it was written."""
    seal.check(run, name)
    path = run / name
    if not path.is_file():
        raise unreadable(run, name, FileNotFoundError("no such file"))
    return path


@contextmanager
def understood(run: Path, name: str) -> Iterator[None]:
    """UserError, by the file's name, for whatever its content lets go wrong in the block."""
    try:
        yield
    except (
        OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
        RecursionError, csv.Error,
    ) as error:  # fmt: skip
        raise unreadable(run, name, error) from error


def read_json(run: Path, name: str) -> dict[str, Any]:
    """A file of a run folder; UserError where it can't be read or was changed."""
    path = checked(run, name)
    with understood(run, name):
        content = seal.small_file(path)
        if name == PROVENANCE and seal.MARK in content and not seal.is_sealed(run):
            raise DamagedError(f"{run / seal.SEAL} is gone; {seal.WAY_OUT}")
        return dict(strict_json.loads(content))


def read_rows(run: Path, name: str) -> list[dict[str, str]]:
    """A table of a run folder, a dict a line; UserError where it can't be read or was changed."""
    path = checked(run, name)
    with understood(run, name):
        text = io.StringIO(seal.small_file(path).decode(), newline="")
        rows = list(csv.DictReader(text, strict=True))
        if any(None in row or None in row.values() for row in rows):
            raise ValueError("a line has more or fewer fields than the first")
        return rows


def unreadable(run: Path, name: str, error: Exception) -> UserError:
    """What to raise where a file of a run folder can't be read."""
    return UserError(f"{run} is no run folder: can't read {name} ({one_line(error)})")


def folder_name(dataset: str, model: str, seed: int) -> str:
    """What a run's folder is called where there is none of that name yet."""
    return f"{dataset}-{model}-seed{seed}"


def write_json(run: Path, name: str, value: Any) -> None:
    """A file of a run folder, as `read_json` reads it."""
    text = json.dumps(as_json(value), indent=2, ensure_ascii=False, allow_nan=False)
    (run / name).write_text(text + "\n", encoding="utf-8")


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
