"""What a store tells of itself: where its numbers came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.system.libraries import versions


def provenance(
    stage: str,
    identity: Mapping[str, Any],
    settings: Mapping[str, Any],
    requires: Iterable[str] = (),
    **more: Any,
) -> dict[str, Any]:
    """A stage's, by its identity; settings: all of them, those too that change no result.

    requires: the libraries of extras that it runs.
    """
    return {
        "stage": stage,
        "extractor": identity["extractor"],
        "version": identity["version"],
        "settings": settings,
        "weights": {"id": identity["weights_id"], "digest": identity["weights"]},
        "needs": identity["needs"],
        "fingerprint": identity["fingerprint"],
        "identity": identity,
        "libraries": versions(requires),
        **more,
    }
