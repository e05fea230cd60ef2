"""A clip's words: its own transcript, or else what a stage upstream heard."""

from __future__ import annotations

import numpy as np

from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs

# From this share on a text is doubtful. Of CH-SIMS's 1,824 Chinese transcripts 99 % are above it
# with the vocabulary of bert-base-uncased; with the right one, those of CMU-MOSI have none.
DOUBTFUL_UNKNOWN = 0.3
UNKNOWN = Field((), "float32", "share of the text")
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


def unknown_share(unknown: int, of: int) -> np.ndarray:
    """A row of `UNKNOWN`."""
    return np.array(unknown / max(of, 1), np.float32)


def doubt_of(unknown: int, of: int, what: str) -> str:
    """Why a text's features may mislead, where too little of it is known; else nothing."""
    return f"{unknown} of {of} {what}" if unknown >= DOUBTFUL_UNKNOWN * of and unknown else ""
