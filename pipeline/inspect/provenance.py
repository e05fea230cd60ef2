"""Where a stage's numbers come from: code, settings, weights, the file read, the commit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.inspect.stage_result import StageResult
from pipeline.store.clip_rows import Row
from pipeline.weights.random_weights import is_random


def provenance(result: StageResult, row: Row) -> Iterator[tuple[str, str]]:
    """Names and values, in the order in which they matter."""
    identity = result.identity
    yield "Extractor", f"{result.extractor}, version {identity['version']}"
    yield "Settings", _settings(result.settings)
    if identity["weights"]:
        yield "Weights", str(identity["weights_id"])
        has_none = is_random(identity["weights_id"])
        yield "Weights’ SHA-256", "none: random weights" if has_none else identity["weights"]
    yield "Fingerprint", str(identity["fingerprint"])
    for name, need in identity.get("upstream", {}).items():
        yield f"Needs {name}", f"{_settings(need['settings'])}; {need['fingerprint']}"
    for part in row.read(identity["reads"]):
        path = getattr(row.clip, part) if part in ("video", "audio") else None
        if digest := row.digests.get(part):
            told = digest if part == "span" else f"SHA-256 {digest}"
            yield part.capitalize(), " ".join(filter(None, [path, told]))
    yield "Store", result.url
    if result.key:
        partition, number = divmod(result.row, int(identity["partition"]))
        yield "Commit", f"partition {partition}, row {number}, as {result.key}"
    if libraries := result.attributes.get("libraries"):
        yield "Libraries", ", ".join(f"{name} {version}" for name, version in libraries.items())


def _settings(settings: Mapping[str, Any]) -> str:
    """All settings that are set, as in a stages file."""
    told = {name: value for name, value in settings.items() if value is not None}
    pairs = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in told.items()]
    return ", ".join(pairs) or "no settings"
