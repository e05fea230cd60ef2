"""Where a stage's numbers come from: code, settings, weights, the file read, the commit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.inspect.finding import Finding
from pipeline.store.clips_table import Row
from pipeline.weights.random_weights import is_random


def provenance(finding: Finding, row: Row) -> list[tuple[str, str]]:
    """Names and values, in the order in which they matter."""
    return [
        pair for part in (_computed(finding), _read(finding, row), _kept(finding)) for pair in part
    ]


def _computed(finding: Finding) -> Iterator[tuple[str, str]]:
    identity = finding.identity
    yield "Extractor", f"{finding.extractor}, version {identity['version']}"
    yield "Settings", _told(finding.settings)
    if identity["weights"]:
        yield "Weights", str(identity["weights_id"])
        is_made_up = is_random(identity["weights_id"])
        yield "Weights’ SHA-256", "none: small and seeded" if is_made_up else identity["weights"]
    yield "Fingerprint", str(identity["fingerprint"])
    for name, need in identity.get("upstream", {}).items():
        yield f"Needs {name}", f"{_told(need['settings'])}; {need['fingerprint']}"


def _told(settings: Mapping[str, Any]) -> str:
    """All settings that are set, as in a stages file."""
    told = {name: value for name, value in settings.items() if value is not None}
    pairs = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in told.items()]
    return ", ".join(pairs) or "no settings"


def _read(finding: Finding, row: Row) -> Iterator[tuple[str, str]]:
    for part in finding.identity["reads"]:
        path = getattr(row.clip, part) if part in ("video", "audio") else None
        if digest := row.digests.get(part):
            yield part.capitalize(), " ".join(filter(None, [path, f"SHA-256 {digest}"]))


def _kept(finding: Finding) -> Iterator[tuple[str, str]]:
    yield "Store", finding.url
    if finding.key:
        yield "Commit", f"{finding.commit}, as {finding.key}"
    if libraries := finding.attributes.get("libraries"):
        yield "Libraries", ", ".join(f"{name} {version}" for name, version in libraries.items())
