"""A node of the DAG: a named extractor with its settings and what it needs."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline import extractors
from pipeline.encoders import engine
from pipeline.encoders.engine import TORCH
from pipeline.errors import UserError
from pipeline.stage.extractor import Extractor, StreamingExtractor
from pipeline.stage.field import Field
from pipeline.stage.settings import StageSettings
from pipeline.system import device


@dataclass(frozen=True)
class Stage:
    """An entry of the stages file, validated. keep: store its output even if it is streamed."""

    name: str
    extractor: str
    needs: tuple[str, ...]
    settings: StageSettings
    keep: bool
    steps: int
    enabled: bool = True

    @cached_property
    def kind(self) -> type[Extractor]:
        """The extractor's class."""
        return extractor_class(self.name, self.extractor)

    def make(self) -> Extractor:
        """The extractor, with this stage's settings."""
        return self.kind(self.settings, self.steps)

    @property
    def stored(self) -> bool:
        """Whether the stage writes a store: all but streams that nobody asked to keep."""
        return self.keep or not issubclass(self.kind, StreamingExtractor)

    @property
    def hands_on(self) -> Mapping[str, Field]:
        """The fields that stages downstream are given: a stream's, or what the stage writes."""
        extractor = self.make()
        return (
            extractor.streams if isinstance(extractor, StreamingExtractor) else extractor.writes()
        )

    @property
    def device(self) -> str:
        """The device that is set; stages without that setting run on the processor."""
        return str(getattr(self.settings, "device", "cpu"))


def require_devices(stages: Iterable[Stage]) -> None:
    """Compute something on each stage's device and find its engine; UserError where that fails."""
    for stage in stages:
        try:
            device.require(stage.device)
            engine.require(getattr(stage.settings, "engine", TORCH))
        except UserError as error:
            raise UserError(f"stage {stage.name!r}: {error}") from None


def extractor_class(stage: str, extractor: str) -> type[Extractor]:
    """The one extractor of `pipeline.extractors.<name>`, or of a dotted module of the user's."""
    if not all(part.isidentifier() for part in extractor.split(".")):
        raise UserError(f"stage {stage!r}: {extractor!r} can't be the name of an extractor")
    module_name = extractor if "." in extractor else f"{extractors.__name__}.{extractor}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name and not module_name.startswith(f"{error.name}."):
            raise
        raise UserError(
            f"stage {stage!r}: no extractor {extractor!r}; {nearest(extractor, built_in())}"
        ) from None
    classes = [
        c
        for _, c in inspect.getmembers(module, inspect.isclass)
        if issubclass(c, Extractor) and c.__module__ == module_name
    ]
    if len(classes) != 1:
        raise UserError(f"{module_name}: expected one Extractor in this file, found {len(classes)}")
    return classes[0]


def built_in() -> list[str]:
    """The names of the extractors that come with the project."""
    folder = Path(extractors.__path__[0])
    return sorted(p.stem for p in folder.glob("*.py") if p.stem != "__init__")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is not among the known ones."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
