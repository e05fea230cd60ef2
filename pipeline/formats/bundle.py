"""A cache's features by modality beside its clips: what every format is written from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.dataset.clip import Clip
from pipeline.dataset.target import Target
from pipeline.errors import UserError
from pipeline.io.atomic_write import atomic_write, sweep


@dataclass(frozen=True)
class Bundle:
    """Clips with what they have of each modality.

    features: `visual`, `audio`, `text`, float32 [clips, steps, width], zero where padded and where
    a clip has none. lengths: int64 [clips] each. channels: the stages that make them up. by_word:
    whether a step is the same word in all of them. tokenizer: that which was named for the texts,
    a folder or a hub id. own_tokenizers: those of the text's stages, to be used in its place where
    they are on this machine. targets: what can be predicted of the clips.
    """

    name: str
    language: str
    clips: Sequence[Clip]
    features: Mapping[str, np.ndarray]
    lengths: Mapping[str, np.ndarray]
    channels: Mapping[str, Sequence[str]]
    provenance: Mapping[str, Any]
    by_word: bool = False
    tokenizer: str = ""
    own_tokenizers: Sequence[str] = ()
    targets: Sequence[Target] = ()

    def where(self, kept: Sequence[bool]) -> Bundle:
        """The clips for which `kept` is True."""
        rows = np.flatnonzero(kept)
        return replace(
            self,
            clips=[self.clips[row] for row in rows.tolist()],
            features={m: x[rows] for m, x in self.features.items()},
            lengths={m: n[rows] for m, n in self.lengths.items()},
        )


@contextmanager
def atomic_output(path: Path) -> Iterator[Path]:
    """Where to write what is to be at `path`, file or folder: it is there only once it is whole.

    Raises UserError where something exists already.
    """
    if path.exists():
        raise UserError(f"{path} already exists; remove it or choose another path")
    sweep(path)
    with atomic_write(path) as part:
        yield part
