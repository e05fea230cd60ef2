"""What is wrong with a dataset, found before hours are spent on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.checks import published
from pipeline.checks.clip import CheckedClip, Issue, check_clip
from pipeline.checks.strays import strays
from pipeline.checks.twins import twins
from pipeline.dataset.clip import LABEL, SPLITS, Clip
from pipeline.dataset.ids import DuplicateIdError
from pipeline.dataset.layouts import NAMED, archive_of, entries, is_label, name_of, table_of
from pipeline.dataset.load import declared_by
from pipeline.dataset.tables import rows
from pipeline.dataset.target import FILE, within
from pipeline.errors import UserError
from pipeline.messages import listed, printable
from pipeline.system import resources

LIMIT, NARROW_LIMIT = 3.0, 1.0  # of scores: CMU-MOSI's and CH-SIMS's
MOSTLY = 0.9  # of the scores within ±1: the others are then taken for slips
SIGNS = {"negative": -1, "neutral": 0, "positive": 1}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Counts:
    """The clips of one split, and how many of them have what."""

    clips: int = 0
    labelled: int = 0
    text: int = 0
    pictures: int = 0
    sound: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class CheckedDataset:
    """A dataset's clips by split, "" for those of none, and all that is wrong with it.

    published: by dataset and split, how many clips there should be, or often are.
    """

    name: str
    splits: dict[str, Counts]
    issues: tuple[Issue, ...]
    published: Mapping[str, Mapping[str, int]]

    @property
    def fails(self) -> bool:
        """Whether any of the issues is an error."""
        return any(issue.fails for issue in self.issues)

    def to_json(self) -> dict[str, Any]:
        """What `smp dataset check --json` prints."""
        return {
            "dataset": self.name,
            "fails": self.fails,
            "splits": {split: asdict(counts) for split, counts in self.splits.items()},
            "published": {name: dict(sizes) for name, sizes in self.published.items()},
            "findings": [asdict(issue) for issue in self.issues],
        }


def check(
    path: str | Path, decode: bool = False, progress: Progress = lambda done, of: None
) -> CheckedDataset:
    """Look at every row and every file of the dataset at `path`; nothing is written.

    decode: decode all media, instead of opening it. progress: told clips done, of how many.
    Raises UserError where there is no dataset.
    """
    table, archive = table_of(path), archive_of(path)
    clips, issues = _read(path, table)
    place = str(table if table.is_file() else path)
    declared = declared_by(path, table)
    kept, outside = within(clips, declared)
    clips = list(kept)
    issues += [Issue("value out of range", place, note) for note in outside]
    checked = list(_checked(clips, decode, progress))
    issues += [issue for one in checked for issue in one.issues]
    issues += _of_scores(clips, {column for target in declared for column in target.columns})
    issues += _of_splits(clips)
    issues += twins(clips)
    issues += strays(clips, table.parent, archive.extras if archive else {})
    issues += published.differences(archive, checked) if archive else ()
    told = (replace(i, where=printable(i.where), what=printable(i.what)) for i in issues)
    return CheckedDataset(name_of(path), _counted(checked), tuple(told), published.sizes(archive))


def _read(path: str | Path, table: Path) -> tuple[list[Clip], list[Issue]]:
    """The clips, and what is wrong with the rows."""
    clips: list[Clip] = []
    issues: list[Issue] = []
    try:
        for where, clip in entries(path):
            if isinstance(clip, Clip):
                clips.append(clip)
                continue
            kind = "duplicate id" if isinstance(clip, DuplicateIdError) else "bad row"
            issues.append(Issue(kind, where, str(clip).removeprefix(f"{where}: "), fails=True))
    except UserError as error:
        issues.append(Issue("bad table", str(table), str(error), fails=True))
    if not clips and not issues:
        issues.append(Issue("bad table", str(table), "holds no clips", fails=True))
    return clips, [*issues, *_of_columns(table)]


def _of_columns(table: Path) -> Iterator[Issue]:
    """Columns that look like labels and are none."""
    try:
        found = dict.fromkeys(str(column) for _, row in rows(table) for column in row)
    except UserError:  # which is told already
        return
    if alike := [c for c in found if "label" in c.casefold() and not is_label(c)]:
        told = "not taken as labels, which are `label`, `label_…` and `class_…`"
        what = f"{listed(alike, NAMED)}: {told}"
        yield Issue("column not used", str(table), what)


def _checked(clips: Sequence[Clip], decode: bool, progress: Progress) -> Iterator[CheckedClip]:
    has_media = any(clip.sound for clip in clips)
    cores = resources.cores()
    pool = ThreadPoolExecutor(cores if decode else 4 * cores)
    try:
        checked = pool.map(lambda clip: check_clip(clip, decode, has_media), clips)
        for done, one in enumerate(checked, 1):
            progress(done, len(clips))
            yield one
    finally:
        pool.shutdown(cancel_futures=True)


def _of_scores(clips: Iterable[Clip], declared: Container[str]) -> Iterator[Issue]:
    """Scores beyond the scale, but in `declared` columns, and annotations that say otherwise."""
    scores = [
        (clip, column, score)
        for clip in clips
        for column, score in sorted(clip.values())
        if not isinstance(score, str) and column not in declared
    ]
    narrow = sum(abs(score) <= NARROW_LIMIT for _, _, score in scores)
    is_narrow = narrow < len(scores) and narrow >= MOSTLY * len(scores)
    for clip, column, score in scores:
        if abs(score) > LIMIT:
            what = f"{column} {score:g} is beyond ±{LIMIT:g}, and {FILE} declares no range"
            yield Issue("label out of scale", clip.id, what, fails=column == LABEL)
        elif is_narrow and abs(score) > NARROW_LIMIT:
            what = f"{column} {score:g}, where {narrow} of {len(scores)} are within ±1"
            yield Issue("label out of scale", clip.id, what)
        sign = SIGNS.get(clip.annotation.strip().lower())
        if column == LABEL and sign is not None and sign != (score > 0) - (score < 0):
            what = f"annotation {clip.annotation!r}, but label {score:g}"
            yield Issue("label and annotation disagree", clip.id, what)


def _of_splits(clips: Sequence[Clip]) -> Iterator[Issue]:
    """Splits without a labelled clip: training needs all three."""
    labelled = Counter(clip.split for clip in clips if clip.is_labelled)
    for split in SPLITS:
        if clips and not labelled[split]:
            yield Issue("empty split", split, "no labelled clip; training needs one in each")


def _counted(clips: Sequence[CheckedClip]) -> dict[str, Counts]:
    splits = dict.fromkeys([*SPLITS, *(checked.clip.split for checked in clips)])
    return {split: _counts([c for c in clips if c.clip.split == split]) for split in splits}


def _counts(clips: Sequence[CheckedClip]) -> Counts:
    return Counts(
        clips=len(clips),
        labelled=sum(c.clip.is_labelled for c in clips),
        text=sum(bool(c.clip.text.strip()) for c in clips),
        pictures=sum(c.pictures for c in clips),
        sound=sum(c.sound for c in clips),
        seconds=round(sum(c.seconds for c in clips), 3),
    )
