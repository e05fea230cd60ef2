"""Where every number came from: settings, weights, versions, fingerprints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.report.context import ReportContext, Section
from model.runs.run import Run, chosen
from model.training.presets import flat
from pipeline.store.stage_view import StageView
from pipeline.weights.random_weights import random_note

Facts = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class StageOrigin:
    """A stage's facts, and their summary in a line."""

    stage: str
    summary: str
    facts: Facts


def section(context: ReportContext) -> Section:
    """Every stage's, and the chosen run's."""
    views = list((context.cache or {}).values())
    libraries: dict[str, str] = {}
    for view in views:
        libraries |= view.attributes.get("libraries", {})
    run = chosen(context.runs)
    content = {
        "stages": [_stage(view) for view in views],
        "libraries": sorted(libraries.items()),
        "run": (run.name, _of_run(run)) if run else None,
        "extract": context.command("extract"),
    }
    return Section("provenance", "Provenance", content)


def _stage(view: StageView) -> StageOrigin:
    """What the store says of itself; one that was not extracted here may say less."""
    attributes = view.attributes
    weights = attributes.get("weights") or {}
    id, digest = weights.get("id"), weights.get("digest") or ""
    needs = [f"{need} {known[:8]}" for need, known in (attributes.get("needs") or {}).items()]
    version = f"version {attributes['version']}" if "version" in attributes else "made elsewhere"
    facts = [
        ("extractor", f"{attributes.get('extractor', view.name)}, {version}"),
        ("fingerprint", view.fingerprint[:16]),
        ("needs", ", ".join(needs) or "the clips alone"),
        ("weights", f"{id}, {digest[:16]}" if id else "none"),
        *_flat(attributes.get("settings") or {}),
    ]
    told = [version, *([f"weights {id}"] if id else []), random_note(view.random_weights)]
    return StageOrigin(view.name, ", ".join(filter(None, told)), facts)


def _of_run(run: Run) -> Facts:
    preset = run.settings.get("preset") or {}
    origin = [("preset", f"{preset['name']} for {preset['scale']}")] if preset else []
    return [*origin, *_flat(run.settings["train"]), *_flat(run.settings["data"])]


def _flat(settings: Mapping[str, Any]) -> Facts:
    return [(name, _text(value)) for name, value in flat(settings).items()]


def _text(value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or "none"
    return "none" if value in (None, "", {}) else json.dumps(value, ensure_ascii=False)
