"""MELD: utterances of *Friends* with one of seven emotions, as `MELD.Raw.tar.gz` unpacks.

Poria et al. 2019, "MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in
Conversations". Layout and counts: github.com/declare-lab/MELD, README.md and data/MELD/*.csv; what
is amiss with its files: issues 22, 27, 39 and 52 there. Ids are those of MERTools
(MER2024/toolkit/preprocess/meld.py), since each split counts its dialogues from 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

from pipeline.dataset.adapter import Adapter, Published, first
from pipeline.dataset.tables import TableRow, rows_with
from pipeline.dataset.target import Target

EMOTIONS = {  # train, valid, test
    "anger": (1109, 153, 345), "disgust": (271, 22, 68), "fear": (268, 40, 50),
    "joy": (1743, 163, 402), "neutral": (4710, 470, 1256), "sadness": (683, 111, 208),
    "surprise": (1205, 150, 281),
}  # fmt: skip
SENTIMENTS = ("negative", "neutral", "positive")
COLUMNS = ("Utterance", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")


class Part(NamedTuple):
    """Where a split is. name: of its folder and in ids; videos: the folder of its clips."""

    name: str
    table: str
    videos: str


PARTS = {
    "train": Part("train", "train_sent_emo.csv", "train_splits"),
    "valid": Part("dev", "dev_sent_emo.csv", "dev_splits_complete"),
    "test": Part("test", "test_sent_emo.csv", "output_repeated_splits_test"),
}


class Meld(Adapter):
    """`{train,dev,test}_sent_emo.csv` beside `train_splits/`, `dev_splits_complete/` and
    `output_repeated_splits_test/` with `dia<dialogue>_utt<utterance>.mp4`.

    The table and the folder of a split may also lie in `train/`, `dev/` or `test/`, as the archives
    inside the archive unpack, or the clips there themselves, as MERTools has them. In the test
    folder, `final_videos_testdia…` are a second cut of some clips, which the tables don't name and
    the authors say to ignore (issue 22).
    """

    title = "MELD"
    targets = (
        Target(name="emotion", kind="classes", classes=tuple(EMOTIONS)),
        Target(name="sentiment", kind="classes", classes=SENTIMENTS),
    )
    extras = {"final_videos_test": "a second cut of clips, which the tables don't name"}

    @property
    def published(self) -> Published:
        """README.md, "Dataset Statistics" and "Dataset Distribution"."""
        sizes = {"train": 9989, "valid": 1109, "test": 2610}
        return Published(sizes, {"class_emotion": EMOTIONS})

    @classmethod
    def at(cls, folder: Path) -> Self | None:
        """The dataset in `folder` or its `MELD.Raw/`."""
        roots = (cls(folder), cls(folder / "MELD.Raw"))
        return next((one for one in roots if any(map(one._table, PARTS.values()))), None)

    def rows(self) -> Iterator[TableRow]:
        """Every utterance, in the order of the tables."""
        for split, part in PARTS.items():
            table, videos = self._table(part), self._videos(part)
            for where, told in rows_with(table, COLUMNS, legacy=True) if table else ():
                name = f"dia{told['Dialogue_ID']}_utt{told['Utterance_ID']}"
                row = {
                    "id": f"{'val' if split == 'valid' else split}_{name}",
                    "video": str(videos / f"{name}.mp4") if videos else "",
                    "text": told["Utterance"].strip(),
                    "class_emotion": told["Emotion"].strip().lower(),
                    "class_sentiment": told["Sentiment"].strip().lower(),
                    "split": split,
                }
                yield where, row

    def _table(self, part: Part) -> Path | None:
        return first(place / part.table for place in (self.root, self.root / part.name))

    def _videos(self, part: Part) -> Path | None:
        inside = self.root / part.name
        found = first((self.root / part.videos, inside / part.videos))
        return found or (inside if any(inside.glob("dia*.mp4")) else None)
