"""A clip's words: its own transcript, or else what a stage upstream heard."""

from __future__ import annotations

import numpy as np

from pipeline.extractor import ClipInputs
from pipeline.field import Field

TRANSCRIPT = Field(("byte",), "uint8", "UTF-8", ragged=True)


def written(text: str) -> np.ndarray:
    """A text as a row of the field, uint8 [bytes]; lone surrogates are kept."""
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)


def read(row: np.ndarray) -> str:
    """The text that was written to a row of the field."""
    return row.tobytes().decode("utf-8", "surrogatepass")


def text_of(inputs: ClipInputs) -> str:
    """What is said in a clip, as far as anyone knows; its own transcript comes first."""
    heard = inputs.rows.get("transcript")
    return inputs.clip.text if heard is None or inputs.clip.text.strip() else read(heard)


def whole_characters(text: str) -> str:
    """`text` without lone surrogates, which few others take; pairs become one character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
