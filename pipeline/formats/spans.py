"""Which rows of a padded sequence are real, as far as a pickle of features tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.errors import UserError
from pipeline.formats.split import Split

Rows = Mapping[str, Sequence[np.ndarray]]  # of each field, [steps, width] a clip


def spans(split: Split, rows: Rows) -> dict[str, list[slice]]:
    """The real rows of each field, by clip.

    As `audio_lengths` and `vision_lengths` say, and the mask in `text_bert` for the text. A file
    without lengths whose fields have one number of steps is aligned: they share an axis of words,
    real from the first to the last word of which any field has something. What nothing tells of is
    cut at its outer zero rows, since some tools pad in front.
    """
    steps = {len(x) for clips in rows.values() for x in clips}
    if len(steps) == 1 and not any(f"{field}_lengths" in split for field in rows):
        shared = [_real_span(*x) for x in zip(*rows.values(), strict=True)]
        return dict.fromkeys(rows, shared)
    return {field: _own(split, field, clips) for field, clips in rows.items()}


def _own(split: Split, field: str, clips: Sequence[np.ndarray]) -> list[slice]:
    if f"{field}_lengths" in split:
        lengths = split.counts(f"{field}_lengths")
    elif field == "text" and "text_bert" in split:
        masks = [mask for _, mask, _ in _tokens(split)]
        lengths = [int((mask != 0).sum()) for mask in masks]
        if any(len(mask) != len(x) for mask, x in zip(masks, clips, strict=True)):
            return [_real_span(x) for x in clips]
    else:
        return [_real_span(x) for x in clips]
    return [slice(0, length) for length in lengths]


def _tokens(split: Split) -> list[np.ndarray]:
    """`text_bert` by clip: ids, mask and segments."""
    found = split.rows("text_bert", any_width=True)
    for id, tokens in zip(split.ids, found, strict=True):
        if len(tokens) != 3:
            raise UserError(
                f"{split.where}, clip {id!r}: text_bert has shape {list(tokens.shape)}, "
                "expected [3, tokens]"
            )
    return found


def _real_span(*fields: np.ndarray) -> slice:
    real = np.flatnonzero(np.any([(rows != 0).any(axis=1) for rows in fields], axis=0))
    return slice(int(real[0]), int(real[-1]) + 1) if len(real) else slice(0, 0)
