"""What enters a stage's fingerprint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, cast

from pipeline.dag.stage import Stage
from pipeline.errors import UserError
from pipeline.io.hashing import of_json
from pipeline.system.libraries import require
from pipeline.weights.resolve import Weights


class StageIdentity(TypedDict):
    """All that can change a stage's results, in the form in which stores keep it as JSON.

    weights: their digest; needs: the fingerprint of each stage that it needs; steps: None where
    they change nothing. The fingerprint covers the fields up to `partition`. `upstream` repeats the
    identities of what the stage needs, so that it can be told later what changed.
    """

    extractor: str
    version: int
    settings: dict[str, Any]
    weights: str | None
    needs: dict[str, str]
    steps: int | None
    partition: int
    weights_id: str | None
    reads: list[str]
    fingerprint: str
    upstream: dict[str, StageIdentity]


Identities = Mapping[str, StageIdentity]


def identify(
    stage: Stage, partition: int, reads: Iterable[str], upstream: Identities
) -> StageIdentity:
    """The stage's identity here; UserError where its weights or libraries are not to be had."""
    weights = _weights(stage)
    if weights is None and (unseen := stage.settings.marked("by_content")):
        names = ", ".join(map(repr, sorted(unseen)))
        raise TypeError(f"{stage.extractor}: {names} by content, but no `weights()`")
    covered = {
        "extractor": stage.extractor,
        "version": stage.kind.version,
        "settings": stage.settings.affecting_results(),
        "weights": weights and weights.digest,
        "needs": {need: identity["fingerprint"] for need, identity in upstream.items()},
        "steps": stage.steps if stage.kind.uses_steps else None,
        "partition": partition,
    }
    beside = {
        "weights_id": weights and weights.id,
        "reads": sorted(reads),
        "fingerprint": of_json(covered),
        "upstream": dict(upstream),
    }
    return cast(StageIdentity, {**covered, **beside})


def _weights(stage: Stage) -> Weights | None:
    try:
        require(stage.kind.requires)
        return stage.make().weights()
    except UserError as error:
        raise UserError(f"stage {stage.name!r}: {error}") from error
