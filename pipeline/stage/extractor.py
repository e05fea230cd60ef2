"""What an extractor is: frozen settings and one method, arrays in and arrays out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, ClassVar

import numpy as np

from pipeline.dataset.clip import Clip
from pipeline.stage.about import About
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings
from pipeline.weights.repository import NETWORK, Files
from pipeline.weights.resolve import Source, Weights


class Extractor(ABC):
    """The code behind a stage: made from validated settings, cheap to make, free of state.

    Heavy models are loaded inside `extract` through `load_once`, never kept on the object:
    an extractor is built anew in every task.

    Attributes
    ----------
    version: raise it whenever results change.
    about: what pages, tables and trainings ask of its features.
    requires: the libraries of optional extras that it runs, as {module: extra}.
    reads: the parts of a clip that it opens itself, of "video", "audio" and "text"; settings may
        add to them.
    takes: the upstream fields it needs, checked before anything runs; of a class whose settings
        choose among them, all.
    may_take: those that it uses where a stage it needs writes them; that stage may be off.
    files: which of a model's, where its settings name one as `weights`.
    uses_steps: whether `self.steps` can change a result; where not, it is no part of the identity.
    """

    version: ClassVar[int]
    about: ClassVar[About] = About()
    requires: ClassVar[Mapping[str, str]] = {}
    reads: frozenset[str] = frozenset()
    takes: Mapping[str, Field] = {}
    may_take: ClassVar[Mapping[str, Field]] = {}
    files: ClassVar[Files] = NETWORK
    uses_steps: ClassVar[bool] = True

    class Settings(StageSettings):
        """No settings."""

    def __init__(self, settings: StageSettings, steps: int = 32) -> None:
        self.settings = settings
        self.steps = steps
        self.found: dict[Callable[..., Any], Weights | None] = {}

    def __init_subclass__(cls) -> None:
        if "weights" in vars(cls):
            cls.weights = _found_once(cls.weights)  # type: ignore[assignment, method-assign]

    @abstractmethod
    def writes(self) -> dict[str, Field]:
        """The fields of this stage's store; the first is what `read()` gives by default."""

    @abstractmethod
    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        """One result a clip, in the batch's order.

        Where one clip is at fault yield `ClipResult.of(error)` for it. Anything raised makes the
        runner try the clips of the batch one by one; what all of them raise alike is the stage's
        fault and commits nothing.
        """

    def does_without(self, clip: Clip) -> bool:
        """Whether the clip's result takes nothing from upstream, and needs nothing to be there.

        It is given no rows then.
        """
        return False

    def portion(self) -> int | None:
        """How many clips of a batch go through together: such portions may be shared by threads.

        None: all of them, in one thread.
        """
        return None

    def weights(self) -> Weights | None:
        """The weights this stage computes with; their digest is part of the fingerprint.

        They are looked for once, by the first of the extractors that a stage makes in a process:
        those of one run are the same from its first partition to its last.
        """
        return None

    def models(self) -> list[Source]:
        """The models that the weights come from, for `smp models`; none has to be there yet.

        By default what the settings `weights` and `revision` name, of which `files` are needed.
        """
        named, revision = (getattr(self.settings, s, None) for s in ("weights", "revision"))
        return [Source(named, self.files, revision)] if named else []


def _found_once(find: Callable[[Any], Weights | None]) -> Callable[[Any], Weights | None]:
    @wraps(find)
    def weights(self: Extractor) -> Weights | None:
        if find not in self.found:
            self.found[find] = find(self)
        return self.found[find]

    return weights


class StreamingExtractor(Extractor):
    """An extractor whose output is handed on clip by clip instead of being stored, unless kept.

    streams: the fields that `stream` and `restore` give, held against what stages downstream take.
    """

    streams: ClassVar[Mapping[str, Field]]

    @abstractmethod
    def stream(self, inputs: ClipInputs) -> Mapping[str, Any]:
        """The fields of one clip, computed as they are consumed."""

    @abstractmethod
    def restore(self, rows: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        """The same fields from a kept clip's stored rows."""
