"""One labelled sample: a media file, its transcript, its scores and its split."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf

from pipeline.dataset.region import Region
from pipeline.dataset.span import Span

SPLITS = ("train", "valid", "test")
MEDIA = ("video", "audio")  # the parts of a clip that are files
# The columns of true values: the clip's score, its further scores and its classes by name.
LABEL, SCORE, CLASS = "label", "label_", "class_"
Value = float | str
# How files are called that are taken for media where no table names them.
VIDEOS = {
    ".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts",
    ".webm", ".wmv",
}  # fmt: skip
SOUNDS = {".aac", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav"}


@dataclass(frozen=True, slots=True)
class Clip:
    """A row of a dataset.

    id: unique in its dataset; `video_id/clip_id` in the MMSA layout. video, audio: paths,
    None where the dataset has none; sound is taken from `video` where `audio` is None. start_s,
    end_s: where the clip is a stretch of longer files; None where these begin and end. region: the
    part of the picture that is looked at, None for all of it.
    label: the score (CMU-MOSI −3..3, CH-SIMS −1..1), None where unlabelled; labels: further scores
    by name (`T`, `A`, `V` of a modality, `valence`); classes: names of classes (`anger`) by what
    they are of (`emotion`).
    """

    id: str
    video: str | None = None
    audio: str | None = None
    text: str = ""
    label: float | None = None
    labels: Mapping[str, float] = field(default_factory=dict)
    annotation: str = ""
    split: str = "train"
    classes: Mapping[str, str] = field(default_factory=dict)
    start_s: float | None = None
    end_s: float | None = None
    region: Region | None = None

    def __reduce__(self) -> tuple[type[Clip], tuple[object, ...]]:
        # Every task is sent with its clips; a dataclass's own way takes twice as long.
        return Clip, tuple(getattr(self, name) for name in self.__slots__)

    @property
    def sound(self) -> str | None:
        """Where the clip's sound is: its audio file, or else its video."""
        return self.audio or self.video

    @property
    def span(self) -> Span:
        """What of its files the clip is."""
        return Span(float(self.start_s or 0), float(inf if self.end_s is None else self.end_s))

    @property
    def is_labelled(self) -> bool:
        """Whether it has a true value of anything."""
        return next(self.values(), None) is not None

    def values(self) -> Iterator[tuple[str, Value]]:
        """Its true values by column; one that is missing is left out."""
        if self.label is not None:
            yield LABEL, self.label
        yield from ((SCORE + name, score) for name, score in self.labels.items())
        yield from ((CLASS + name, value) for name, value in self.classes.items())

    def without(self, columns: Collection[str]) -> Clip:
        """The clip with the values of these columns missing."""
        return replace(
            self,
            label=None if LABEL in columns else self.label,
            labels={k: v for k, v in self.labels.items() if SCORE + k not in columns},
            classes={k: v for k, v in self.classes.items() if CLASS + k not in columns},
        )
