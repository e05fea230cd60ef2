"""The public CMU-MOSI archive as it unpacks: segments, their transcripts and its own scores."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.dataset.tables import read_text
from pipeline.errors import UserError
from pipeline.messages import counted, quoted

VIDEO = Path("Video", "Segmented")
AUDIO = Path("Audio", "WAV_16000", "Segmented")
TRANSCRIPTS = Path("Transcript", "Segmented")
SCORES = Path("Labels", "OpinionLevelSentiment.csv")
DELIMITER = "_DELIM_"
COLUMNS = ("video_id", "clip_id", "text", "label")

Segment = tuple[str, str]  # video and number, as in `<video>_<number>.mp4`; a video's id may hold _


@dataclass(frozen=True)
class MosiArchive:
    """The folder that has `Video/`, `Audio/` and `Transcript/`, of which some may lack.

    A segment `n` of a video is `Video/Segmented/<video>_<n>.mp4`,
    `Audio/WAV_16000/Segmented/<video>_<n>.wav` and the line `n_DELIM_text` of
    `Transcript/Segmented/<video>.annotprocessed`. `Labels/OpinionLevelSentiment.csv` has no
    heading: start, end, video, segment, score. Splits are no part of the archive.
    """

    root: Path

    @classmethod
    def at(cls, folder: Path) -> MosiArchive | None:
        """The archive in `folder` or its `Raw/`, None where neither looks like it."""
        parts = (VIDEO, AUDIO, TRANSCRIPTS)
        roots = (folder.absolute() / "Raw", folder.absolute())
        return next((cls(root) for root in roots if any((root / p).is_dir() for p in parts)), None)

    @property
    def has_media(self) -> bool:
        """Whether pictures or sound are here, not transcripts alone."""
        return any((self.root / part).is_dir() for part in (VIDEO, AUDIO))

    def media(self, video: str, number: str) -> dict[str, str]:
        """Where a segment's `video` and `audio` are, as far as the archive has either."""
        places = {"video": (VIDEO, "mp4"), "audio": (AUDIO, "wav")}
        return {
            part: str(self.root / place / f"{video}_{number}.{suffix}")
            for part, (place, suffix) in places.items()
            if (self.root / place).is_dir()
        }

    def rows(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Every segment as a row of `label.csv`, by video and number, with where it was found.

        What is not known is empty, as splits are. Raises UserError for a transcript or a score
        that can't be read.
        """
        texts, scores, files = _once(self._texts()), _once(self._scores()), dict(self._files())
        for segment in sorted({*texts, *scores, *files}, key=_in_order):
            of_text, text = texts.get(segment, ("", ""))
            of_score, score = scores.get(segment, ("", ""))
            known = dict(zip(COLUMNS, (*segment, text, score), strict=True))
            yield of_text or of_score or files[segment], {**known, "annotation": "", "mode": ""}

    def _texts(self) -> Iterator[tuple[Segment, tuple[str, str]]]:
        for path in sorted((self.root / TRANSCRIPTS).glob("*.annotprocessed")):
            for number, found in _lines(path):
                yield (path.stem, number), found

    def _scores(self) -> Iterator[tuple[Segment, tuple[str, str]]]:
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
                yield (row[2].strip(), row[3].strip()), (where, row[4].strip())
        except csv.Error as error:
            raise UserError(f"{path}:{reader.line_num}: {error}") from error

    def _files(self) -> Iterator[tuple[Segment, str]]:
        for place, suffix in ((VIDEO, ".mp4"), (AUDIO, ".wav")):
            for path in sorted((self.root / place).glob(f"*_*{suffix}")):
                video, _, number = path.stem.rpartition("_")
                yield (video, number), str(path)


def _once(found: Iterator[tuple[Segment, tuple[str, str]]]) -> dict[Segment, tuple[str, str]]:
    """The place and value of each segment; UserError where one has two values."""
    known: dict[Segment, tuple[str, str]] = {}
    for segment, (where, value) in found:
        first = known.setdefault(segment, (where, value))
        if first[1] != value:
            name = quoted("_".join(segment))
            raise UserError(f"{where}: segment {name} already appears at {first[0]}, otherwise")
    return known


def _lines(path: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """The number of each segment, the place of its line and its text."""
    for line, written in enumerate(read_text(path).split("\n"), 1):
        number, delimiter, text = written.partition(DELIMITER)
        if not written.strip():
            continue
        if not delimiter:
            got = quoted(written)
            raise UserError(f"{path}:{line}: expected `number{DELIMITER}text`, got {got}")
        yield number.strip(), (f"{path}:{line}", text.strip())


def _in_order(segment: Segment) -> tuple[str, int, str]:
    video, number = segment
    return video, int(number) if number.isdecimal() else 0, number
