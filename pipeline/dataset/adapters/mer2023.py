"""MER2023: clips of Chinese films and series with an emotion and a valence, as it is released.

Lian et al. 2023, "MER 2023: Multi-label Learning, Modality Robustness, and Semi-Supervised
Learning" (3,373 clips to train on; 411, 412 and 834 in the test sets). Layout and columns: MERTools
(github.com/zeroQiaoba/MERTools), MERBench/toolkit/preprocess/mer2023.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pipeline.dataset.mer import Mer


class Mer2023(Mer):
    """`train-label.csv`, `test1-label.csv` to `test3-label.csv` with `name, discrete, valence`,
    beside the folders `train/`, `test1/` to `test3/` with `<name>.mp4` or `.avi`.

    The test sets are MER-MULTI, MER-NOISE (clips with noise) and MER-SEMI, which has no valence.
    Its texts are not released: `transcription.csv` (`name, sentence`) and
    `transcription-engchi-polish.csv` (`name, chinese`) of MERTools are read where they are there.
    """

    title = "MER2023"
    tests = ("test1", "test2", "test3")
    sizes = {"train": 3373, "test1": 411, "test2": 412, "test3": 834}

    @classmethod
    def at(cls, folder: Path) -> Self | None:
        """The dataset in `folder`; `test1` is the test split."""
        return cls(folder, cls.tests[0]) if (folder / "train-label.csv").is_file() else None

    def table(self, part: str) -> Path:
        """`<set>-label.csv`."""
        return self.root / f"{part}-label.csv"

    def folder(self, part: str) -> Path:
        """A folder each."""
        return self.root / part
