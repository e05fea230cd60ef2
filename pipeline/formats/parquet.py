"""A folder of Parquet files, one a split, as Hugging Face `datasets` finds them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.dataset.clip import SPLITS
from pipeline.errors import UserError
from pipeline.formats.bundle import Bundle
from pipeline.formats.format import Format
from pipeline.stage.transcript import whole_characters

ROWS_A_GROUP = 256


class Parquet(Format):
    """A folder that Hugging Face `datasets` reads."""

    def write(self, bundle: Bundle, path: Path) -> Sequence[str]:
        """A file a split."""
        write(bundle, path)
        return ()


def write(bundle: Bundle, folder: Path) -> None:
    """`train.parquet`, `valid.parquet`, `test.parquet`, as far as there are clips.

    Columns: `id`, `raw_text`, `annotation`, `label`, `label_T` … and `class_emotion` … (null where
    a clip has none), and for each modality `visual` float32 [steps, width] with `visual_length`.
    The schema carries under `smp` where the features came from.
    """
    try:
        from pyarrow.parquet import write_table
    except ImportError:
        raise UserError('Parquet needs pyarrow: pip install "smp-sentiment[parquet]"') from None
    folder.mkdir()
    for split in SPLITS:
        part = bundle.where([clip.split == split for clip in bundle.clips])
        if part.clips:
            write_table(_table(part), folder / f"{split}.parquet", row_group_size=ROWS_A_GROUP)


def _table(bundle: Bundle) -> Any:
    import pyarrow as pa

    modalities = sorted({m for clip in bundle.clips for m in clip.labels})
    columns: dict[str, Any] = {
        "id": pa.array([clip.id for clip in bundle.clips]),
        "raw_text": pa.array([whole_characters(clip.text) for clip in bundle.clips]),
        "annotation": pa.array([clip.annotation for clip in bundle.clips]),
        "label": _scores([clip.label for clip in bundle.clips]),
    }
    for m in modalities:
        columns[f"label_{m}"] = _scores([clip.labels.get(m) for clip in bundle.clips])
    for name in sorted({name for clip in bundle.clips for name in clip.classes}):
        columns[f"class_{name}"] = pa.array([clip.classes.get(name) for clip in bundle.clips])
    for modality, features in bundle.features.items():
        columns[modality] = _nested(features)
        columns[f"{modality}_length"] = pa.array(bundle.lengths[modality])
    made_from = {"channels": bundle.channels, "provenance": bundle.provenance}
    return pa.table(columns, metadata={"smp": json.dumps(made_from)})


def _scores(values: Sequence[float | None]) -> Any:
    import pyarrow as pa

    return pa.array(values, pa.float64())


def _nested(features: np.ndarray) -> Any:
    """[clips, steps, width] as lists of a fixed size in lists of a fixed size."""
    import pyarrow as pa

    array = pa.array(np.ascontiguousarray(features).reshape(-1))
    for size in features.shape[:0:-1]:
        array = pa.FixedSizeListArray.from_arrays(array, size)
    return array
