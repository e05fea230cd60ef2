"""CH-SIMS: clips of Chinese films and shows, with a score for each modality, as it first came.

Yu et al. 2020, "CH-SIMS: A Chinese Multimodal Sentiment Analysis Dataset with Fine-grained
Annotation of Modality". Layout: MERTools, MERBench/toolkit/preprocess/sims.py; sizes: MMSA
(github.com/thuiar/MMSA, README.md). The later form, `label.csv` beside `Raw/`, is the layout of
MMSA that is read without an adapter.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pipeline.dataset.adapter import Adapter, Published
from pipeline.dataset.tables import TableRow, rows_with
from pipeline.dataset.target import Target
from pipeline.errors import UserError

SCORES = {"label": "M", "label_T": "T", "label_A": "A", "label_V": "V"}
TEXTS = Path("metadata/Translation.csv")
INDEXES = {"train": "train", "valid": "val", "test": "test"}
KEY = ("video_id", "clip_id")


class ChSims(Adapter):
    """`metadata/sentiment/label_{M,T,A,V}.csv`, `metadata/Translation.csv` with the Chinese texts
    and `metadata/{train,val,test}_index.csv` with the rows of `label_M.csv` of a split, from 0,
    beside `Raw/<video>/<clip, four digits>.mp4`.
    """

    title = "CH-SIMS"
    targets = tuple(Target(name=c.removeprefix("label_"), range=(-1, 1)) for c in SCORES)

    @classmethod
    def at(cls, folder: Path) -> Self | None:
        """The dataset in `folder`."""
        return cls(folder) if _labels(folder, "M").is_file() else None

    @property
    def published(self) -> Published:
        """Clips by split."""
        return Published({"train": 1368, "valid": 456, "test": 457})

    def rows(self) -> Iterator[TableRow]:
        """Every clip, in the order of `label_M.csv`."""
        scores = {column: _scores(_labels(self.root, m)) for column, m in SCORES.items()}
        texts = {_id(row): row["Chinese"] for _, row in self._texts()}
        split_of = self._splits()
        raw = self.root / "Raw"
        for number, (where, told) in enumerate(rows_with(_labels(self.root, "M"), KEY)):
            id = _id(told)
            row = {
                "id": id,
                "video": str(raw / f"{id}.mp4") if raw.is_dir() else "",
                "text": texts.get(id, ""),
                **{column: own.get(id, "") for column, own in scores.items()},
                "split": split_of.get(number, ""),
            }
            yield where, row

    def _texts(self) -> Iterator[tuple[str, dict[str, str]]]:
        path = self.root / TEXTS
        return rows_with(path, (*KEY, "Chinese")) if path.is_file() else iter(())

    def _splits(self) -> dict[int, str]:
        of: dict[int, str] = {}
        for split, name in INDEXES.items():
            path = self.root / f"metadata/{name}_index.csv"
            for where, row in rows_with(path, ("index",)) if path.is_file() else ():
                if not row["index"].strip().isdecimal():
                    raise UserError(f"{where}: index {row['index']!r} is no row of label_M.csv")
                of[int(row["index"])] = split
        return of


def _labels(root: Path, modality: str) -> Path:
    return root / f"metadata/sentiment/label_{modality}.csv"


def _scores(path: Path) -> dict[str, str]:
    rows = rows_with(path, (*KEY, "label")) if path.is_file() else ()
    return {_id(row): row["label"] for _, row in rows}


def _id(row: dict[str, str]) -> str:
    return f"{row['video_id']}/{row['clip_id'].zfill(4)}"
