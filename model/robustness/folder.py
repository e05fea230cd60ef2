"""A robustness run's folder: every point of every curve as CSV, and all about it as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.metrics import ordered
from model.robustness.curves import Curve, Robustness
from model.runs.files import as_json
from pipeline.io.csv_text import csv_text
from pipeline.io.folder import Folder
from pipeline.io.hashing import sealed

POINTS, ALL = "curves.csv", "robustness.json"


def write(found: Robustness, folder: Path) -> None:
    """Write POINTS and ALL, each in one step."""
    points = csv_text(["kind", "what", "share", "row", *keys_of(found)], _points(found))
    Folder(folder).write(POINTS, points.encode())
    Folder(folder).write(ALL, sealed(as_json(to_json(found)), indent=2) + b"\n")


def keys_of(found: Robustness) -> list[str]:
    """The metrics there are, in the order of tables."""
    first = next(iter(found.curves[0].points.values()))[0]
    return ordered(first)


def to_json(found: Robustness) -> dict[str, Any]:
    """Everything, for programs; metrics are shares, not × 100."""
    keys = keys_of(found)
    return {
        "dataset": found.name,
        "model": found.preset.model,
        "preset": found.preset.to_json(found.settings),
        "settings": found.settings.model_dump(exclude={"seed"}),
        "seeds": list(found.seeds),
        "clips": found.clips,
        "references": found.references,
        "curves": [_curve(curve, keys) for curve in found.curves],
        "notes": list(found.notes),
    }


def _curve(curve: Curve, keys: list[str]) -> dict[str, Any]:
    return {
        "kind": curve.kind,
        "what": curve.what,
        "shares": list(curve.points),
        "mean": {key: curve.means(key) for key in keys},
        "std": {key: curve.deviations(key) for key in keys},
        "area": {key: curve.area(key) for key in keys},
        "values": [list(seeds) for seeds in curve.points.values()],
        "probe": list(curve.probe.values()),
    }


def _points(found: Robustness) -> Iterator[list[Any]]:
    """A line a point and seed, the linear probe's among them."""
    keys = keys_of(found)
    for curve in found.curves:
        for share, by_seed in curve.points.items():
            rows = dict(zip((f"seed {seed}" for seed in found.seeds), by_seed, strict=True))
            rows |= {"linear probe": curve.probe[share]} if share in curve.probe else {}
            for row, of in rows.items():
                yield [curve.kind, curve.what, share, row, *(of[key] for key in keys)]
