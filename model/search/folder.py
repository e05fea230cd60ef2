"""A search's folder: settings to train by, every trial as CSV, and all about it as JSON."""

from __future__ import annotations

from dataclasses import asdict
from math import isnan
from typing import Any

from model.metrics import title
from model.runs.files import as_json
from model.search.found import Found
from pipeline.io.csv_text import csv_text
from pipeline.io.folder import Folder
from pipeline.io.hashing import sealed
from pipeline.io.yaml_file import written
from pipeline.messages import counted

SETTINGS, TRIALS, ALL = "settings.yaml", "trials.csv", "search.json"
OPTIONS = ("model", "seed", "device")  # of the commands that take the file


def write(found: Found) -> None:
    """Write SETTINGS, TRIALS and ALL into the search's folder, each in one step."""
    folder = Folder(found.folder)
    text = written(settings_of(found))
    folder.write(SETTINGS, f"# {source(found)}\n{text}".encode())
    folder.write(TRIALS, _trials(found).encode())
    folder.write(ALL, sealed(as_json(to_json(found)), indent=2) + b"\n")


def settings_of(found: Found) -> dict[str, Any]:
    """The settings found, as `train --settings` takes them."""
    return found.settings.model_dump(exclude=set(OPTIONS))


def source(found: Found) -> str:
    """Where the settings are from, in a line."""
    best, lead = found.finalists[0], title(found.lead).removesuffix(" ↓")
    first = [one.value for one in found.finalists if one.tried.number == 0 and one is not best]
    name = "".join(c for c in found.name if c.isprintable())
    return (
        f"the best of {counted(len(found.tried), 'trial')} of {found.preset.model} on the "
        f"validation split of {name}, finalists with {len(best.by_seed)} seeds; validation {lead} "
        f"{best.value:.3f}{''.join(f', the preset has {value:.3f}' for value in first)}"
    )


def to_json(found: Found) -> dict[str, Any]:
    """All about a search, for programs."""
    # JSON has no infinity: a budget without a limit of time has null.
    space = {
        name: values if isinstance(values, list) else values.model_dump()
        for name, values in found.space.items()
    }
    return {
        "dataset": found.name,
        "model": found.preset.model,
        "preset": found.preset.to_json(found.settings),
        "settings": settings_of(found),
        "source": source(found),
        "lead": found.lead,
        "budget": asdict(found.budget),
        "seconds": round(found.seconds, 1),
        "space": space,
        "importance": found.importance,
        "finalists": [
            {"trial": one.tried.number, "mean": one.value, "by_seed": list(one.by_seed)}
            for one in found.finalists
        ],
        "trials": [asdict(one) for one in found.tried],
    }


def _trials(found: Found) -> str:
    """A line a trial."""
    rows = [
        [
            one.number,
            one.state,
            "" if isnan(one.value) else one.value,
            one.epochs,
            round(one.seconds, 3),
            *(one.values.get(name, "") for name in found.space),
            one.why,
        ]
        for one in found.tried
    ]
    return csv_text(["trial", "state", found.lead, "epochs", "seconds", *found.space, "why"], rows)
