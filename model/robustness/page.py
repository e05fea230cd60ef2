"""The page of a model's robustness: each curve drawn, and the area under it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from math import isfinite
from pathlib import Path

from markupsafe import Markup

from model.metrics import is_share, measure, shown, title
from model.robustness.curves import AT_TEST, AT_TRAINING, CLIPS, LOST, Curve, Robustness
from model.robustness.folder import keys_of
from pipeline.html import charts, templates, write_page

PAGE = "robustness.html"
DRAWN = ("acc2", "corr", "mae", "acc3", "acc", "f1", "uar")  # the first three of those there are
TITLES = {
    CLIPS: "Fewer clips to learn from",
    AT_TEST: "What is missing at test",
    AT_TRAINING: "What is missing at training too",
}
TOLD = {
    CLIPS: "The score over the share of the training clips, in %.",
    AT_TEST: "Trained on everything; the score over how much is missing of the test clips, in %.",
    AT_TRAINING: "Trained, selected and tested on clips that lack as much; over how much, in %.",
}


def write(found: Robustness, folder: Path) -> Path:
    """Write the page into a folder."""
    return write_page(render(found), folder / PAGE)


def render(found: Robustness) -> str:
    """The page as HTML."""
    template = templates(files("model.robustness")).get_template(PAGE)
    keys = keys_of(found)
    drawn = sorted((k for k in keys if measure(k) in DRAWN), key=_place)[:3]
    kinds = list(dict.fromkeys(curve.kind for curve in found.curves))
    return template.render(
        found=found,
        sections=[(kind, TITLES[kind], TOLD[kind]) for kind in kinds],
        charts={
            kind: [_chart(curve, key, found.references) for curve in found.curves
                   if curve.kind == kind for key in drawn]
            for kind in kinds
        },
        headings=[title(key) for key in keys],
        rows={
            kind: [(curve.what, [shown(key, curve.area(key)) for key in keys])
                   for curve in found.curves if curve.kind == kind]
            for kind in kinds if kind != CLIPS
        },
        most=LOST[-1],
    )  # fmt: skip


def _chart(curve: Curve, key: str, references: Mapping[str, Mapping[str, float]]) -> Markup:
    """The model, the linear probe where it is known, and the better of the constant answers."""
    scale = 100 if is_share(key) else 1
    series = {"model": [scale * value for value in curve.means(key)]}
    if curve.probe:
        series["linear probe"] = [scale * of[key] for of in curve.probe.values()]
    row = "majority class" if is_share(key) else "median score"
    constant = references.get(row, {}).get(key, float("nan"))
    if isfinite(constant):
        series["constant"] = [scale * constant] * len(curve.points)
    what = f", {curve.what} missing" if curve.what else ""
    return charts.lines(f"{title(key)}{what}", [100 * share for share in curve.points], series)


def _place(key: str) -> int:
    return DRAWN.index(measure(key))
