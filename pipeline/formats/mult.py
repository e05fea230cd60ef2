"""The dialect of MulT, which MISA and MMIM share: three fields, `labels` [n, 1, 1] and `id`."""

from __future__ import annotations

from pipeline.dataset.clip import Clip
from pipeline.errors import UserError
from pipeline.formats.split import Split

FORMAT = "mult"


def clips(split: Split) -> list[Clip]:
    """The clips of a split, which come without transcripts."""
    if "labels" not in split:
        raise UserError(
            f"{split.where}: has neither regression_labels, as MMSA's files, nor labels, as MulT's"
        )
    labels = zip(split.ids, split.numbers("labels"), strict=True)
    return [Clip(id, label=label, split=split.name) for id, label in labels]
