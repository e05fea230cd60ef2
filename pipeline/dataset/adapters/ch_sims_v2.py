"""CH-SIMS v2: more clips and scores, and others without any, as the two archives unpack.

Liu et al. 2022, "Make Acoustic and Visual Cues Matter: CH-SIMS v2.0 Dataset and AV-Mixup
Consistent Module" (10,161 clips without a score). Archives: github.com/thuiar/ch-sims-v2,
README.md; 2,722 for training: data/load_data.py there; layout: MERTools,
MERBench/toolkit/preprocess/simsv2.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pipeline.dataset.adapter import Adapter, Published
from pipeline.dataset.clip import SPLITS
from pipeline.dataset.tables import TableRow, rows_with
from pipeline.dataset.target import Target

META = "meta.csv"
SUPERVISED, UNLABELLED = "ch-simsv2s", "ch-simsv2u"
COLUMNS = ("label", "label_T", "label_A", "label_V")
KEY = ("video_id", "clip_id", "text")


class ChSimsV2(Adapter):
    """`ch-simsv2s/` and `ch-simsv2u/`, each with `meta.csv` and `Raw/<video>/<clip>.mp4`.

    Either may lack, and the folder of one may be given by itself. `meta.csv` has the columns of
    MMSA's `label.csv`: `video_id, clip_id, text, label, label_T, label_A, label_V, annotation,
    mode`. Clips of `ch-simsv2u` are in no split and have no score.
    """

    title = "CH-SIMS v2"
    targets = tuple(Target(name=c.removeprefix("label_"), range=(-1, 1)) for c in COLUMNS)

    @classmethod
    def at(cls, folder: Path) -> Self | None:
        """The dataset whose parts are in `folder`, or the part that it is."""
        return cls(folder) if any(cls(folder)._parts()) else None

    @property
    def published(self) -> Published:
        """Clips by split, and those without a score."""
        sizes = {"train": 2722, "valid": 647, "test": 1034, "": 10161}
        held = {part for part, _ in self._parts()}
        wanted = (*SPLITS, "") if len(held) > 1 else ("",) if held == {UNLABELLED} else SPLITS
        return Published({split: sizes[split] for split in wanted})

    def rows(self) -> Iterator[TableRow]:
        """Every clip in the order of the tables, those with scores first."""
        for part, folder in self._parts():
            is_labelled, raw = part == SUPERVISED, folder / "Raw"
            for where, told in rows_with(folder / META, (*KEY, "mode") if is_labelled else KEY):
                id = f"{told['video_id']}/{told['clip_id']}"
                row = {
                    "id": id if is_labelled else f"unlabelled/{id}",
                    "video": str(raw / f"{id}.mp4") if raw.is_dir() else "",
                    "text": told["text"],
                    **{c: told.get(c, "") if is_labelled else "" for c in COLUMNS},
                    "annotation": told.get("annotation", "") if is_labelled else "",
                    "split": told["mode"] if is_labelled else "",
                }
                yield where, row

    def _parts(self) -> Iterator[tuple[str, Path]]:
        for part in (SUPERVISED, UNLABELLED):
            if (self.root / part / META).is_file():
                yield part, self.root / part
        if (self.root / META).is_file() and (self.root / "Raw").is_dir():
            yield UNLABELLED if self.root.name == UNLABELLED else SUPERVISED, self.root
