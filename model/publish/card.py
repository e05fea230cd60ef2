"""What cards of runs and of features are made with."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from pipeline.dag.stage import built_in, extractor_class

NONE = "–"
LOCAL = ("cache", "root", "imported_from")  # what provenance says of the machine


def rendered(name: str, **content: Any) -> str:
    """The card of that name, Markdown with the hub's header, with its blanks filled in."""
    template = files("model.publish").joinpath(f"{name}.md").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(content)


def stage_rows(provenance: Mapping[str, Any]) -> list[list[str]]:
    """Each stage: its name, its weights, their licence where that is known, and their digest."""
    recipe = (provenance.get("extraction") or {}).get("stages", {})
    return [
        _row(name, stage.get("weights") or {}, str(recipe.get(name, {}).get("extractor", "")))
        for name, stage in provenance["stages"].items()
    ]


def _row(name: str, weights: Mapping[str, Any], extractor: str) -> list[str]:
    known = extractor_class(name, extractor).about.licences if extractor in built_in() else {}
    id = str(weights.get("id") or NONE)
    return [name, id, known.get(id, NONE), str(weights.get("digest") or NONE)[:16]]
