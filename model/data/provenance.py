"""Where features came from, as every run records it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.dag.recipe import Recipe

if TYPE_CHECKING:
    from pipeline.store.cache import Cache


def provenance(cache: Cache, channels: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Of the stages of `channels`: cache, source, fingerprints, weights, and how to extract.

    root: the folder of the dataset, or what was imported.
    """
    names = [stage for chosen in channels.values() for stage in chosen]
    recipe = Recipe.of(cache, names)
    stages = {
        name: {
            "fingerprint": cache[name].fingerprint,
            "weights": cache[name].attributes.get("weights") or {},
            "random": cache[name].random_weights,
        }
        for name in names
    }
    source = {"imported_from": cache.imported_from} if cache.imported_from else {}
    extraction = recipe.to_json() if recipe else None
    origin = {"cache": cache.url, "dataset": cache.name, "root": cache.table.root, **source}
    return {**origin, "stages": stages, "extraction": extraction}


def random_stages(provenance: Mapping[str, Any]) -> list[str]:
    """The stages with random weights on which the features of a `provenance` rest."""
    stages = provenance.get("stages", {}).items()
    # Earlier runs tell only that there is one, not which.
    of_each = [[name] if one["random"] is True else one["random"] or [] for name, one in stages]
    return list(dict.fromkeys(name for own in of_each for name in own))
