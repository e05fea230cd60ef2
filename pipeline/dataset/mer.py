"""What the datasets of the MER challenges have in common.

Tables of texts and their columns: MERTools (github.com/zeroQiaoba/MERTools), MER2024/main-asr.py
and MER2024/config.py; that a fifth of the training set is held out: MER2024/toolkit/dataloader/
mer2023.py.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pipeline.dataset.adapter import Adapter, Published
from pipeline.dataset.tables import TableRow, rows_with
from pipeline.dataset.target import Target

EMOTIONS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
TEXTS = {  # the column with the text, those that a person checked first
    "label-transcription.csv": "chinese",
    "transcription-engchi-polish.csv": "chinese",
    "transcription-merge.csv": "sentence",
    "transcription.csv": "sentence",
}
FOLDS = 5


class Mer(Adapter):
    """A training set and several test sets, of which one is the test split, the others in none.

    Every fifth clip to train on is for validation, since no set is. sizes: published, by set.
    """

    targets = (
        Target(name="emotion", kind="classes", classes=EMOTIONS),
        Target(name="valence", range=(-5, 5)),
    )
    sizes: ClassVar[dict[str, int]]

    @abstractmethod
    def table(self, part: str) -> Path:
        """Where the table of a set is."""

    @abstractmethod
    def folder(self, part: str) -> Path:
        """Where its videos are."""

    @property
    def published(self) -> Published:
        """Clips by split, and those of the other test sets."""
        train, valid = self.sizes["train"], self.sizes["train"] // FOLDS
        test = self.sizes[self.test]
        rest = sum(self.sizes.values()) - train - test
        return Published({"train": train - valid, "valid": valid, "test": test, "": rest})

    def rows(self) -> Iterator[TableRow]:
        """Every clip of a table, set by set, in its order."""
        said = _texts(self.root)
        for part in self.sizes:
            table, folder = self.table(part), self.folder(part)
            videos = _videos(folder)
            listed = rows_with(table, ("name", "discrete")) if table.is_file() else ()
            for number, (where, told) in enumerate(listed):
                name = told["name"]
                row = {
                    "id": name,
                    "video": videos.get(name, str(folder / f"{name}.mp4")),
                    "text": said.get(name, ""),
                    "class_emotion": told["discrete"].strip().lower(),
                    "label_valence": told.get("valence", ""),
                    "split": self._split(part, number),
                }
                yield where, row

    def _split(self, part: str, number: int) -> str:
        if part == "train":
            return "valid" if number % FOLDS == FOLDS - 1 else "train"
        return "test" if part == self.test else ""


def _texts(root: Path) -> dict[str, str]:
    """What is said in each clip, by its name."""
    found: dict[str, str] = {}
    for name, column in TEXTS.items():
        path = root / name
        for _, row in rows_with(path, ("name", column)) if path.is_file() else ():
            found.setdefault(row["name"], row[column].strip())
    return found


def _videos(folder: Path) -> dict[str, str]:
    """The files of a folder by their names without suffixes, `.mp4` or `.avi` as they come."""
    return {path.stem: str(path) for path in sorted(folder.glob("*"))}
