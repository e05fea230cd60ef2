"""MER2024: the sets of MER2023 and more clips in one, with an emotion each, as it is released.

Lian et al. 2024, "MER 2024: Semi-Supervised Learning, Noise Robustness, and Open-Vocabulary
Multimodal Emotion Recognition". Layout, columns and sizes (5,030 to train on, 1,169 and 1,170 in
the test sets): MERTools (github.com/zeroQiaoba/MERTools), MER2024/toolkit/preprocess/mer2024.py and
main-asr.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pipeline.dataset.adapter import first
from pipeline.dataset.mer import Mer

TRAIN = "label-disdim.csv"
UNLABELLED = ("video-unlabeled-with-test2noise", "video-unlabeled")


class Mer2024(Mer):
    """`label-disdim.csv` with `name, discrete, valence` and `label-transcription.csv` with `name,
    chinese` beside `video-labeled/<name>.mp4`; `reference-semi.csv` and `reference-noise.csv` with
    `name, discrete` of some clips of `video-unlabeled-with-test2noise/` or `video-unlabeled/`.

    The test sets are MER-SEMI and MER-NOISE. Clips of no table are left out.
    """

    title = "MER2024"
    tests = ("semi", "noise")
    sizes = {"train": 5030, "semi": 1169, "noise": 1170}

    @classmethod
    def at(cls, folder: Path) -> Self | None:
        """The dataset in `folder`; MER-SEMI is the test split."""
        return cls(folder, cls.tests[0]) if (folder / TRAIN).is_file() else None

    def table(self, part: str) -> Path:
        """That of the training set, or the answers of a test set."""
        return self.root / (TRAIN if part == "train" else f"reference-{part}.csv")

    def folder(self, part: str) -> Path:
        """One for the training set, another for both test sets."""
        if part == "train":
            return self.root / "video-labeled"
        return first(self.root / name for name in UNLABELLED) or self.root / UNLABELLED[0]
