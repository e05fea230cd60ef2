"""The dataset: its splits, and how its labels are spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from statistics import fmean, pstdev

from markupsafe import Markup

from model.report.context import ReportContext, Section
from pipeline.dataset.clip import SPLITS, Clip
from pipeline.html import charts
from pipeline.html.numbers import plain

DISTINCT = 15  # up to so many different scores have a column each
LANGUAGES = {"zh": "Chinese", "en": "English"}
NAMES = {"": "Score", "T": "By text", "A": "By voice", "V": "By face"}


@dataclass(frozen=True)
class SplitFound:
    """Clips of a split, how many are labelled, the labels' mean and spread.

    length: the mean one of a transcript, in words, or in characters where it is Chinese.
    """

    name: str
    clips: int
    labelled: int
    mean: float
    deviation: float
    length: float


def section(context: ReportContext) -> Section:
    """Splits and labels."""
    by_split = {name: [c for c in context.clips if c.split == name] for name in SPLITS}
    unit = "characters" if context.language == "zh" else "words"
    splits = [_split(name, clips, unit) for name, clips in by_split.items()]
    splits.append(_split("all", context.clips, unit))
    own = {m for clip in context.clips for m in clip.labels}
    modalities = ["", *(m for m in NAMES if m in own), *sorted(own - NAMES.keys())]
    histograms = [
        _histogram(NAMES.get(m, f"By {m}"), {n: _labels(c, m) for n, c in by_split.items()})
        for m in modalities
    ]
    content = {"unit": unit, "splits": splits, "histograms": histograms}
    return Section("dataset", "Dataset", content)


def _split(name: str, clips: Sequence[Clip], unit: str) -> SplitFound:
    labels, nan = _labels(clips, ""), float("nan")
    words = [clip.text.split() for clip in clips]
    lengths = [len(own) if unit == "words" else len("".join(own)) for own in words]
    return SplitFound(
        name,
        len(clips),
        len(labels),
        fmean(labels) if labels else nan,
        pstdev(labels) if labels else nan,
        fmean(lengths) if lengths else nan,
    )


def _labels(clips: Sequence[Clip], modality: str) -> list[float]:
    """The clips' own scores, or those of a modality."""
    scores = [clip.labels.get(modality) if modality else clip.label for clip in clips]
    return [score for score in scores if score is not None]


def _histogram(title: str, by_split: Mapping[str, Sequence[float]]) -> Markup:
    every = sorted({score for labels in by_split.values() for score in labels})
    if not every:
        return Markup("")
    centres = every if len(every) <= DISTINCT else _centres(every[0], every[-1])
    series = {name: count(labels, centres) for name, labels in by_split.items() if labels}
    total = sum(map(sum, series.values()))
    summary = f"{total} labels from {plain(every[0], 1)} to {plain(every[-1], 1)}"
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
