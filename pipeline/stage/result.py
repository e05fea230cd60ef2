"""What an extractor is handed of a clip, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.dataset.clip import Clip
from pipeline.errors import ClipError, MissingModalityError
from pipeline.messages import printable

OK, MISSING, FAILED = "ok", "missing", "failed"
STALE = "stale"  # and of one whose features stand though its file is gone
DOUBTFUL = "doubtful"  # how people are told of an ok clip whose features rest on a poor input


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
        """A clip without this modality."""
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
