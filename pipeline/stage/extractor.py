"""What an extractor is: frozen settings and one method, arrays in and arrays out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict
from pydantic import Field as PydanticField

from pipeline.dataset.clip import Clip
from pipeline.errors import ClipError, MissingModalityError
from pipeline.media.container import TIME_LIMIT_S
from pipeline.messages import printable
from pipeline.stage.field import Field
from pipeline.weights.resolve import Source, Weights

OK, MISSING, FAILED = "ok", "missing", "failed"
DOUBTFUL = "doubtful"  # how people are told of an ok clip whose features rest on a poor input


def runtime(default: Any, **limits: Any) -> Any:
    """A setting that changes speed and never a result: it stays out of the fingerprint."""
    return PydanticField(default, json_schema_extra={"runtime": True}, **limits)


def by_content(default: Any, **limits: Any) -> Any:
    """A setting that says where weights are: in the fingerprint their digest stands for it."""
    return PydanticField(default, json_schema_extra={"by_content": True}, **limits)


def later(default: Any, **limits: Any) -> Any:
    """A setting that came when caches had been written as its default has it, and stay valid.

    At that default it is not in the fingerprint.
    """
    return PydanticField(default, json_schema_extra={"later": True}, **limits)


def time_limit() -> Any:
    """The setting `time_limit_s` of a stage that decodes: runtime-only."""
    meaning = "How long decoding one clip may take, in seconds; what takes longer fails."
    return runtime(TIME_LIMIT_S, gt=0, description=meaning)


class StageSettings(BaseModel):
    """A stage's settings, each part of the fingerprint unless made by a function above.

    What stands below a field says what it means; docs/settings.md is made from it.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True
    )

    @classmethod
    def marked(cls, mark: str) -> set[str]:
        """The names of the settings made by the function of that name."""
        return {
            name
            for name, info in cls.model_fields.items()
            if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get(mark)
        }

    @classmethod
    def default(cls, name: str) -> Any:
        """What a setting is where nobody sets it."""
        return cls.model_fields[name].default

    def affecting_results(self) -> dict[str, Any]:
        """The settings that can change a result, normalised, for the fingerprint."""
        left_out = self.marked("runtime") | self.marked("by_content")
        as_ever = {n for n in self.marked("later") if getattr(self, n) == self.default(n)}
        return self.model_dump(mode="json", exclude=left_out | as_ever)

    def provenance(self) -> dict[str, Any]:
        """What a store says about itself: the same, and where the weights were found."""
        return self.model_dump(mode="json", exclude=self.marked("runtime"))

    def with_smaller_batches(self) -> Self:
        """The settings with every runtime `batch_…` halved, at least 1: for less memory."""
        names = [name for name in self.marked("runtime") if name.startswith("batch_")]
        return self.model_copy(update={name: max(1, getattr(self, name) // 2) for name in names})


@dataclass(frozen=True)
class ClipInputs:
    """One clip as an extractor is handed it.

    rows: the upstream fields that the extractor `takes`. Fields with a step axis are cut to the
    clip's real length, so that padding can't be read; ragged fields are whole.
    """

    clip: Clip
    rows: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ClipResult:
    """One clip's rows, or the reason why it has none.

    rows: an array per written field (shapes without the clip axis); may be shorter than the step
    axis, the rest is zero-padded. length: how many of the steps are real. doubt: why features that
    stand may mislead; the measure behind it is one of the rows.
    """

    state: str
    rows: Mapping[str, np.ndarray] = field(default_factory=dict)
    length: int = 0
    reason: str = ""
    doubt: str = ""

    @classmethod
    def ok(
        cls, rows: Mapping[str, np.ndarray], length: int, note: str = "", doubt: str = ""
    ) -> ClipResult:
        """A clip with features; `note` (a text that was cut, say) and `doubt` are for the user."""
        return cls(OK, rows, length, note, printable(doubt))

    @classmethod
    def missing(cls, reason: str) -> ClipResult:
        """A clip that lacks this modality."""
        return cls(MISSING, reason=reason)

    @classmethod
    def failed(cls, reason: str) -> ClipResult:
        """A clip that can't be processed."""
        return cls(FAILED, reason=reason)

    @classmethod
    def of(cls, error: ClipError) -> ClipResult:
        """The result that an error stands for."""
        reason = printable(str(error))
        is_missing = isinstance(error, MissingModalityError)
        return cls.missing(reason) if is_missing else cls.failed(reason)


class Extractor(ABC):
    """The code behind a stage: made from validated settings, cheap to make, free of state.

    Heavy models are loaded inside `extract` through `weights.load_once`, never kept on the object:
    an extractor is built anew in every task.

    Attributes
    ----------
    version: raise it whenever results change.
    reads: the parts of a clip that it opens itself, of "video", "audio" and "text".
    takes: the upstream fields it needs, checked before anything runs.
    may_take: those that it uses where a stage it needs writes them; that stage may be off.
    uses_steps: whether `self.steps` can change a result; where not, it is no part of the identity.
    """

    version: ClassVar[int]
    reads: ClassVar[frozenset[str]] = frozenset()
    takes: ClassVar[Mapping[str, Field]] = {}
    may_take: ClassVar[Mapping[str, Field]] = {}
    uses_steps: ClassVar[bool] = True

    class Settings(StageSettings):
        """No settings."""

    def __init__(self, settings: StageSettings, steps: int = 32) -> None:
        self.settings = settings
        self.steps = steps

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
        """Whether the clip's result takes nothing from upstream: what lacks there is no lack here.

        It is given no rows then.
        """
        return False

    def portion(self) -> int | None:
        """How many clips of a batch go through together: such portions may be shared by threads.

        None: all of them, in one thread.
        """
        return None

    def weights(self) -> Weights | None:
        """The weights this stage computes with; their digest is part of the fingerprint."""
        return None

    def models(self) -> list[Source]:
        """The models that the weights come from, for `smp models`; none has to be there yet.

        By default what the settings `weights` and `revision` name, in the hub's layout.
        """
        named = getattr(self.settings, "weights", None)
        return [Source(named, revision=getattr(self.settings, "revision", None))] if named else []


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
