"""A safetensors file: every array of a dataset by name, and the words beside them as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from pipeline.formats.bundle import Bundle
from pipeline.formats.format import Format


class Safetensors(Format):
    """A safetensors file of all arrays."""

    def write(self, bundle: Bundle, path: Path) -> Sequence[str]:
        """One file."""
        write(bundle, path)
        return ()


def write(bundle: Bundle, path: Path) -> None:
    """`visual`, `audio`, `text` float32 [clips, steps, width]; `visual_lengths` … int64 [clips].

    `labels` and `labels_T` … float64 [clips] are NaN where a clip has none. The metadata, texts as
    JSON, are `ids`, `splits`, `raw_text`, `annotations`, `class_emotion` … ("" where a clip has
    none), `dataset`, `language`, `channels` (the stages of each modality) and `provenance`.
    """
    modalities = sorted({m for clip in bundle.clips for m in clip.labels})
    scores = {f"labels_{m}": [clip.labels.get(m) for clip in bundle.clips] for m in modalities}
    named = sorted({name for clip in bundle.clips for name in clip.classes})
    scores["labels"] = [clip.label for clip in bundle.clips]
    tensors = {
        **bundle.features,
        **{f"{m}_lengths": lengths for m, lengths in bundle.lengths.items()},
        **{name: np.array(values, np.float64) for name, values in scores.items()},
    }
    words = {
        "ids": [clip.id for clip in bundle.clips],
        "splits": [clip.split for clip in bundle.clips],
        "raw_text": [clip.text for clip in bundle.clips],
        "annotations": [clip.annotation for clip in bundle.clips],
        **{f"class_{k}": [clip.classes.get(k, "") for clip in bundle.clips] for k in named},
        "dataset": bundle.name,
        "language": bundle.language,
        "channels": bundle.channels,
        "provenance": bundle.provenance,
    }
    save_file(
        {name: np.ascontiguousarray(array) for name, array in tensors.items()},
        path,
        metadata={name: json.dumps(value) for name, value in words.items()},
    )
