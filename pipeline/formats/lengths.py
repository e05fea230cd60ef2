"""How long padded sequences really are, as far as a pickle of features tells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.errors import UserError
from pipeline.formats.pickled_split import PickledSplit


def real_rows(split: PickledSplit, fields: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """The rows [steps, width] of each field by clip, without padding.

    `audio_lengths` and `vision_lengths` say how many they are, and the mask in `text_bert` for the
    text. A file without lengths whose fields have one number of steps is aligned: they share an
    axis of words, real from the first to the last word of which any field has something. What
    nothing tells of is cut at its outer zero rows, since some tools pad in front.
    """
    rows = {field: split.rows(field) for field in fields}
    steps = {len(x) for clips in rows.values() for x in clips}
    if len(steps) == 1 and not any(f"{field}_lengths" in split for field in fields):
        shared = [_nonzero(*clip) for clip in zip(*rows.values(), strict=True)]
        real = dict.fromkeys(fields, shared)
    else:
        real = {field: _of_field(split, field, clips) for field, clips in rows.items()}
    return {
        field: [x[part] for x, part in zip(clips, real[field], strict=True)]
        for field, clips in rows.items()
    }


def _of_field(split: PickledSplit, field: str, clips: Sequence[np.ndarray]) -> list[slice]:
    lengths: Sequence[int] | None = None
    if f"{field}_lengths" in split:
        lengths = split.counts(f"{field}_lengths")
    elif field == "text" and "text_bert" in split:
        masks = _masks(split)
        if all(len(mask) == len(x) for mask, x in zip(masks, clips, strict=True)):
            lengths = [int(np.count_nonzero(mask)) for mask in masks]
    return [slice(n) for n in lengths] if lengths is not None else [_nonzero(x) for x in clips]


def _masks(split: PickledSplit) -> list[np.ndarray]:
    """The masks in `text_bert`, which holds ids, mask and segments."""
    found = split.rows("text_bert", any_width=True)
    for id, tokens in zip(split.ids, found, strict=True):
        if len(tokens) != 3:
            raise UserError(
                f"{split.where}, clip {id!r}: text_bert has shape {list(tokens.shape)}, "
                "expected [3, tokens]"
            )
    return [mask for _, mask, _ in found]


def _nonzero(*fields: np.ndarray) -> slice:
    """From the first row to the last in which any field is not zero."""
    real = np.flatnonzero(np.any([rows.any(axis=1) for rows in fields], axis=0))
    return slice(real[0], real[-1] + 1) if len(real) else slice(0)
