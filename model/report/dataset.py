"""The dataset: its splits, and how its labels are spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from statistics import fmean, pstdev

from markupsafe import Markup

from model.report.context import ReportContext, Section
from pipeline.dataset.clip import LABEL, SPLITS, Clip, Value
from pipeline.dataset.target import Target
from pipeline.html import charts
from pipeline.html.numbers import plain

DISTINCT = 15  # up to so many different scores have a column each
LANGUAGES = {"zh": "Chinese", "en": "English"}
NAMES = {LABEL: "Score", "T": "By text", "A": "By voice", "V": "By face"}


@dataclass(frozen=True)
class SplitFound:
    """Clips of a split, how many have a true value of anything, the scores' mean and spread.

    length: the mean one of a transcript, in words, or in characters where it is Chinese.
    """

    name: str
    clips: int
    labelled: int
    mean: float
    deviation: float
    length: float


@dataclass(frozen=True)
class Counted:
    """How many clips of each split, and of all, have a class, or each of several labels."""

    title: str
    rows: Mapping[str, Sequence[int]]


def section(context: ReportContext) -> Section:
    """Splits, and each target's true values."""
    by_split = {name: [c for c in context.clips if c.split == name] for name in SPLITS}
    unit = "characters" if context.language == "zh" else "words"
    every = {**by_split, "all": context.clips}
    scores = [target for target in context.targets if target.kind == "score"]
    others = [target for target in context.targets if target.kind != "score"]
    content = {
        "unit": unit,
        "splits": [_split(name, clips, unit) for name, clips in every.items()],
        "histograms": [_histogram(target, by_split) for target in scores],
        "counts": [_counts(target, every) for target in others],
    }
    return Section("dataset", "Dataset", content)


def _split(name: str, clips: Sequence[Clip], unit: str) -> SplitFound:
    scores, nan = [clip.label for clip in clips if clip.label is not None], float("nan")
    words = [clip.text.split() for clip in clips]
    lengths = [len(own) if unit == "words" else len("".join(own)) for own in words]
    return SplitFound(
        name,
        len(clips),
        sum(clip.is_labelled for clip in clips),
        fmean(scores) if scores else nan,
        pstdev(scores) if scores else nan,
        fmean(lengths) if lengths else nan,
    )


def _held(target: Target, clip: Clip) -> list[Value]:
    """The clip's score, its class, or the labels that are present; nothing where it is unknown."""
    values = dict(clip.values())
    if target.kind == "labels":
        columns = zip(target.labels, target.columns, strict=True)
        return [name for name, column in columns if float(values.get(column, 0)) > 0]
    return [values[c] for c in target.columns if c in values and target.takes(values[c])]


def _counts(target: Target, by_split: Mapping[str, Sequence[Clip]]) -> Counted:
    counts = [Counter(v for c in clips for v in _held(target, c)) for clips in by_split.values()]
    names = target.classes or target.labels
    return Counted(target.name, {name: [count[name] for count in counts] for name in names})


def _histogram(target: Target, by_split: Mapping[str, Sequence[Clip]]) -> Markup:
    held = {n: [float(v) for c in clips for v in _held(target, c)] for n, clips in by_split.items()}
    every = sorted({score for scores in held.values() for score in scores})
    if not every:
        return Markup("")
    centres = every if len(every) <= DISTINCT else _centres(every[0], every[-1])
    series = {name: count(scores, centres) for name, scores in held.items() if scores}
    total = sum(map(sum, series.values()))
    summary = f"{total} labels from {plain(every[0], 1)} to {plain(every[-1], 1)}"
    title = NAMES.get(target.name, target.name)
    return charts.bars(title, [plain(centre, 1) for centre in centres], series, summary)


def _centres(low: float, high: float) -> list[float]:
    """Of bins of a round width that hold every label."""
    width = next(w for w in (0.1, 0.2, 0.5, 1.0, 10.0, high - low) if (high - low) / w <= DISTINCT)
    first, last = floor(low / width + 0.5), ceil(high / width - 0.5)
    return [round(k * width, 6) for k in range(first, last + 1)]


def count(labels: Sequence[float], centres: Sequence[float]) -> list[int]:
    """How many labels are nearest to each centre."""
    counts = [0] * len(centres)
    for label in labels:
        counts[min(range(len(centres)), key=lambda k: abs(centres[k] - label))] += 1
    return counts
