"""A node of the DAG: a named extractor with its settings and what it needs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Protocol

from pipeline import extractors
from pipeline.encoders import engine
from pipeline.encoders.engine import TORCH
from pipeline.errors import UserError
from pipeline.io import plugin
from pipeline.stage.about import MODALITIES, About
from pipeline.stage.extractor import Extractor, StreamingExtractor
from pipeline.stage.field import Field
from pipeline.stage.settings import StageSettings
from pipeline.system import device
from pipeline.weights.resolve import Weights


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
        """The extractor, with this stage's settings and the weights that were found for it."""
        extractor = self.kind(self.settings, self.steps)
        extractor.found = self._found
        return extractor

    def having(self, settings: StageSettings) -> Stage:
        """The same with other runtime settings, and the weights that were found for it."""
        other = replace(self, settings=settings)
        vars(other)["_found"] = self._found
        return other

    def on(self, device: str) -> Stage:
        """The same on one of the devices that its setting may mean."""
        if device == self.device:
            return self
        return self.having(self.settings.model_copy(update={"device": device}))

    @cached_property
    def _found(self) -> dict[Callable[..., Any], Weights | None]:
        return {}

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


def require_devices(stages: Iterable[Stage]) -> list[str]:
    """The accelerators, as a person knows them, that stages compute on, each of them tried.

    Raises UserError where one can't be used, or where the engine of a stage is missing.
    """
    found: dict[str, None] = {}
    for stage in stages:
        try:
            device.require(stage.device)
            found |= dict.fromkeys(map(device.described, device.meant(stage.device)))
            engine.require(getattr(stage.settings, "engine", TORCH))
        except UserError as error:
            raise UserError(f"stage {stage.name!r}: {error}") from None
    return [name for name in found if name != "cpu"]


def extractor_class(stage: str, extractor: str) -> type[Extractor]:
    """The one extractor of `pipeline.extractors.<name>`, or of a dotted module of the user's."""
    if not all(part.isidentifier() for part in extractor.split(".")):
        raise UserError(f"stage {stage!r}: {extractor!r} can't be the name of an extractor")
    if found := plugin.class_of(extractor, extractors, Extractor):  # type: ignore[type-abstract]
        return found
    hint = nearest(extractor, built_in())
    raise UserError(f"stage {stage!r}: no extractor {extractor!r}; {hint}")


def built_in() -> list[str]:
    """The names of the extractors that come with the project."""
    return plugin.names(extractors)


class Stored(Protocol):
    """A stage of a cache: its identity, and the attributes of its store."""

    @property
    def identity(self) -> Mapping[str, Any]: ...
    @property
    def attributes(self) -> Mapping[str, Any]: ...


def about(stage: Stored) -> About:
    """What the extractor's class says of the features of a stage in a cache.

    No module outside the package is imported because a cache names it: its store knows.
    """
    extractor = stage.identity.get("extractor")
    if extractor in built_in():
        return extractor_class(extractor, extractor).about
    return About.recorded(stage.attributes.get("about"))


@lru_cache
def default_channels() -> Mapping[str, tuple[str, ...]]:
    """By modality, the stages whose features a training takes by default, in their order."""
    abouts = {name: extractor_class(name, name).about for name in built_in()}
    return {
        modality: tuple(
            sorted(
                (name for name, its in abouts.items() if its.channel and its.modality == modality),
                key=lambda name: abouts[name].channel,
            )
        )
        for modality in MODALITIES
    }


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is not among the known ones."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
