"""CMU-MOSI: film reviews cut into segments with a sentiment each, as its raw archive unpacks.

Zadeh et al. 2016, "Multimodal Sentiment Intensity Analysis in Videos: Facial Gestures and Verbal
Messages". Sizes of the splits: those of MMSA (github.com/thuiar/MMSA, README.md), by the SDK's
folds (`pipeline/dataset/folds.py`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Self

from pipeline.dataset import folds
from pipeline.dataset.adapter import Adapter, Published
from pipeline.dataset.tables import TableRow, read_text
from pipeline.dataset.target import Target
from pipeline.errors import UserError
from pipeline.messages import counted, quoted

VIDEO = Path("Video", "Segmented")
FULL = Path("Video", "Full")
AUDIO = Path("Audio", "WAV_16000", "Segmented")
TRANSCRIPTS = Path("Transcript", "Segmented")
SCORES = Path("Labels", "OpinionLevelSentiment.csv")
DELIMITER = "_DELIM_"

Segment = tuple[str, str]  # video and number, as in `<video>_<number>.mp4`; a video's id may hold _
Value = tuple[str, ...]


class CmuMosi(Adapter):
    """`Video/`, `Audio/` and `Transcript/`, of which some may lack.

    A segment `n` of a video is `Video/Segmented/<video>_<n>.mp4`, or a span of
    `Video/Full/<video>.mp4` where there are no such files;
    `Audio/WAV_16000/Segmented/<video>_<n>.wav` and the line `n_DELIM_text` of
    `Transcript/Segmented/<video>.annotprocessed`. `Labels/OpinionLevelSentiment.csv` has no
    heading: start, end, video, segment, score.
    """

    title = "CMU-MOSI"
    targets = (Target(name="label", range=(-3, 3)),)
    folds = "cmu_mosi_std_folds.py"

    @classmethod
    def at(cls, folder: Path) -> Self | None:
        """The archive in `folder` or its `Raw/`."""
        for root in (folder / "Raw", folder):
            if cls(root).has_media or any((root / TRANSCRIPTS).glob("*.annotprocessed")):
                return cls(root)
        return None

    @property
    def published(self) -> Published:
        """Segments by split."""
        return Published({"train": 1284, "valid": 229, "test": 686})

    @property
    def has_media(self) -> bool:
        """Whether pictures or sound are here, not transcripts alone."""
        return any((self.root / part).is_dir() for part in (VIDEO, FULL, AUDIO))

    def media(self, video: str, number: str, span: Value = ()) -> dict[str, str]:
        """Where a segment's `video` and `audio` are, as far as the archive has either.

        span: its start and end in the full video, which count where no video is cut.
        """
        full = self.root / FULL
        if span and full.is_dir() and not (self.root / VIDEO).is_dir():
            return {"video": str(full / f"{video}.mp4"), "start": span[0], "end": span[1]}
        places = {"video": (VIDEO, "mp4"), "audio": (AUDIO, "wav")}
        return {
            part: str(self.root / place / f"{video}_{number}.{suffix}")
            for part, (place, suffix) in places.items()
            if (self.root / place).is_dir()
        }

    @cached_property
    def spans(self) -> dict[Segment, Value]:
        """The start and end of each segment in its full video, as they are written."""
        return {segment: tuple(span) for segment, (_, (_, *span)) in _once(self._scores()).items()}

    def rows(self) -> Iterator[TableRow]:
        """Every segment by video and number; a score or a text that is not known is empty.

        Raises UserError for a transcript or a score that can't be read.
        """
        texts, scores, files = _once(self._texts()), _once(self._scores()), dict(self._files())
        split_of = folds.splits((self.root / self.folds, self.root.parent / self.folds))
        for segment in sorted({*texts, *scores, *files}, key=_in_order):
            of_text, (text,) = texts.get(segment, ("", ("",)))
            of_score, (score, *span) = scores.get(segment, ("", ("",)))
            row = {
                "id": "/".join(segment),
                **self.media(*segment, tuple(span)),
                "text": text,
                "label": score,
                "split": split_of.get(segment[0], ""),
            }
            yield of_text or of_score or files[segment], row

    def _texts(self) -> Iterator[tuple[Segment, tuple[str, Value]]]:
        for path in sorted((self.root / TRANSCRIPTS).glob("*.annotprocessed")):
            for number, where, text in _lines(path):
                yield (path.stem, number), (where, (text,))

    def _scores(self) -> Iterator[tuple[Segment, tuple[str, Value]]]:
        """The score of each segment, then its start and end."""
        places = (self.root / SCORES, self.root.parent / SCORES)
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            return
        reader = csv.reader(io.StringIO(read_text(path), newline=""))
        try:
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if len(row) != 5:
                    got = f"got {counted(len(row), 'column')}"
                    raise UserError(f"{where}: expected start, end, video, segment, score; {got}")
                start, end, video, segment, score = (cell.strip() for cell in row)
                yield (video, segment), (where, (score, start, end))
        except csv.Error as error:
            raise UserError(f"{path}:{reader.line_num}: {error}") from error

    def _files(self) -> Iterator[tuple[Segment, str]]:
        for place, suffix in ((VIDEO, ".mp4"), (AUDIO, ".wav")):
            for path in sorted((self.root / place).glob(f"*_*{suffix}")):
                video, _, number = path.stem.rpartition("_")
                yield (video, number), str(path)


def _once(found: Iterator[tuple[Segment, tuple[str, Value]]]) -> dict[Segment, tuple[str, Value]]:
    """The place and value of each segment; UserError where one has two values."""
    known: dict[Segment, tuple[str, Value]] = {}
    for segment, (where, value) in found:
        first = known.setdefault(segment, (where, value))
        if first[1] != value:
            name = quoted("_".join(segment))
            raise UserError(f"{where}: segment {name} already appears at {first[0]}, otherwise")
    return known


def _lines(path: Path) -> Iterator[tuple[str, str, str]]:
    """The number of each segment, the place of its line and its text."""
    for line, written in enumerate(read_text(path).split("\n"), 1):
        number, delimiter, text = written.partition(DELIMITER)
        if not written.strip():
            continue
        if not delimiter:
            got = quoted(written)
            raise UserError(f"{path}:{line}: expected `number{DELIMITER}text`, got {got}")
        yield number.strip(), f"{path}:{line}", text.strip()


def _in_order(segment: Segment) -> tuple[str, int, str]:
    video, number = segment
    return video, int(number) if number.isdecimal() else 0, number
