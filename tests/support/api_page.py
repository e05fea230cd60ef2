"""`docs/api.md`: what the packages offer, from signatures and docstrings. `make docs` writes it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from typing import Any

from pydantic import BaseModel

from tests.support.paths import ROOT

PAGE = ROOT / "docs/api.md"
HEAD = """\
# Public API

Made by `make docs` from signatures and docstrings; a test keeps this page up to date. What isn't
listed here may change without notice."""
CHAPTERS: dict[str, dict[str, list[str]]] = {
    "Reading features": {
        "pipeline": ["open_cache", "Cache"],
        "pipeline.store.stage_view": ["StageView"],
    },
    "Writing an extractor": {
        "pipeline": [
            "Extractor", "About", "StageSettings", "runtime", "by_content", "Field", "Clip",
            "ClipInputs", "ClipResult",
        ],
        "pipeline.stage.steps": ["to_steps"],
        "pipeline.testing": ["ExtractorContract"],
    },
    "Training and predicting": {
        "model": ["load", "load_model"],
        "model.inference.predict": ["TrainedModel"],
        "model.objectives.prediction": ["Prediction"],
        "model.data.samples": ["load_samples", "Samples"],
        "model.training.settings": ["TrainSettings"],
        "model.training.loop": ["train", "Trained"],
        "model.training.predictor": ["Predictor"],
    },
    "Writing a model": {
        "model.network": ["Network", "NetworkSettings"],
        "model.data.batch": ["Batch"],
        "model.testing": ["ModelContract"],
    },
    "Errors": {"pipeline": ["UserError", "ClipError", "MissingModalityError"]},
}  # fmt: skip
METHODS = {"__call__", "__getitem__"}  # those with underscores that a user meets


def document() -> str:
    """All of the page."""
    parts = [HEAD]
    for chapter, places in CHAPTERS.items():
        parts.append(f"## {chapter}")
        for place, names in places.items():
            for name in names:
                parts += _entry(place, name, getattr(import_module(place), name))
    return "\n\n".join(parts) + "\n"


def _entry(place: str, name: str, thing: Any) -> Iterator[str]:
    yield f"### `{name}`"
    kind = "" if inspect.isfunction(thing) else "class "
    yield f"```py\nfrom {place} import {name}\n\n{kind}{name}{_signature(thing)}\n```"
    yield _prose(inspect.getdoc(thing) or "")
    if members := list(_members(thing)):
        yield "\n".join(members)


def _members(thing: Any) -> Iterator[str]:
    """A line for each documented method, property and class attribute that a class adds."""
    if not inspect.isclass(thing):
        return
    for name, member in vars(thing).items():
        if name.startswith("_") and name not in METHODS:
            continue
        is_value = isinstance(member, property | cached_property)
        function = member.__func__ if isinstance(member, classmethod) else member
        if not (is_value or inspect.isfunction(function)):
            continue
        about = _prose(inspect.getdoc(member) or "")
        if about:
            text = name if is_value else f"{name}{_signature(function)}"
            yield f"- `{text}`: {' '.join(about.split())}"


def _signature(thing: Any) -> str:
    """The parameters without `self`, annotations as they are written; none where nobody calls it.

    What has settings is documented by docs/settings.md instead.
    """
    if inspect.isclass(thing) and issubclass(thing, Exception | BaseModel):
        return ""
    found = inspect.signature(thing)
    parameters = [_shown(p) for p in found.parameters.values() if p.name not in ("self", "cls")]
    returns = inspect.Signature.empty if inspect.isclass(thing) else _bare(found.return_annotation)
    return str(found.replace(parameters=parameters, return_annotation=returns))


def _shown(parameter: inspect.Parameter) -> inspect.Parameter:
    """A default that can't be written down is `…`."""
    default = parameter.default
    is_plain = default is parameter.empty or not repr(default).startswith("<")
    shown = default if is_plain else _Bare("…")
    return parameter.replace(annotation=_bare(parameter.annotation), default=shown)


class _Bare(str):
    """What is shown without quotes."""

    def __repr__(self) -> str:
        return str(self)


def _bare(annotation: Any) -> Any:
    return _Bare(annotation) if isinstance(annotation, str) else annotation


def _prose(docstring: str) -> str:
    """Each paragraph on one line; `Attributes` as a list."""
    text, _, attributes = docstring.partition("Attributes\n----------\n")
    parts = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    items = re.findall(r"^(\w+): (.*(?:\n .*)*)", attributes, re.MULTILINE)
    parts.append("\n".join(f"- `{name}`: {' '.join(about.split())}" for name, about in items))
    return "\n\n".join(part for part in parts if part)


if __name__ == "__main__":
    PAGE.write_text(document(), encoding="utf-8")
