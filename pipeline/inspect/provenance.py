"""Where a stage's numbers come from: code, settings, weights, the file that was read, the commit."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pipeline.clips_table import Row
from pipeline.inspect.finding import Finding
from pipeline.weights import RANDOM


def provenance(finding: Finding, row: Row) -> list[tuple[str, str]]:
    """Names and values, in the order in which they matter."""
    return [pair for part in (_computed(finding), _read(finding, row), _kept(finding)) for pair in part]


def _computed(finding: Finding) -> Iterator[tuple[str, str]]:
    identity = finding.identity
    yield "Extractor", f"{finding.extractor}, version {identity['version']}"
    settings = {**finding.settings, "steps": identity["steps"]}
    told = {name: value for name, value in settings.items() if value is not None}
    yield "Settings", ", ".join(f"{name}: {json.dumps(v)}" for name, v in told.items()) or "none"
    if identity["weights"]:
        yield "Weights", str(identity["weights_id"])
        is_random = RANDOM in str(identity["weights_id"]).split(" + ")
        yield "Weights’ SHA-256", "none: small and seeded" if is_random else identity["weights"]
    yield "Fingerprint", str(identity["fingerprint"])
    for need, fingerprint in identity["needs"].items():
        yield f"Needs {need}", str(fingerprint)


def _read(finding: Finding, row: Row) -> Iterator[tuple[str, str]]:
    for part in finding.identity["reads"]:
        path = None if part == "text" else getattr(row.clip, part)
        if digest := row.digests.get(part):
            yield part.capitalize(), " ".join(filter(None, [path, f"SHA-256 {digest}"]))


def _kept(finding: Finding) -> Iterator[tuple[str, str]]:
    yield "Store", finding.url
    if finding.key:
        yield "Commit", f"{finding.commit}, as {finding.key}"
    if libraries := finding.attributes.get("libraries"):
        yield "Libraries", ", ".join(f"{name} {version}" for name, version in libraries.items())
