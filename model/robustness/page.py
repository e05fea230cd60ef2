"""The page of a model's robustness: each curve drawn, and the area under it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from model.metrics import NOT_SHARES, TITLES
from model.robustness.curves import AT_TEST, AT_TRAINING, CLIPS, LOST, Curve, Robustness
from model.robustness.folder import keys_of
from pipeline.html import charts, templates, write_page
from pipeline.html.numbers import plain

PAGE = "robustness.html"
DRAWN = ("acc2", "corr", "mae", "acc3", "f1")  # the first three of those there are
TITLE = {
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
    drawn = [key for key in DRAWN if key in keys][:3]
    kinds = list(dict.fromkeys(curve.kind for curve in found.curves))
    return template.render(
        found=found,
        sections=[(kind, TITLE[kind], TOLD[kind]) for kind in kinds],
        charts={
            kind: [_chart(curve, key, found.references) for curve in found.curves
                   if curve.kind == kind for key in drawn]
            for kind in kinds
        },
        headings=[TITLES[key] for key in keys],
        rows={
            kind: [(curve.what, [_shown(key, curve.area(key)) for key in keys])
                   for curve in found.curves if curve.kind == kind]
            for kind in kinds if kind != CLIPS
        },
        most=LOST[-1],
    )  # fmt: skip


def _chart(curve: Curve, key: str, references: Mapping[str, Mapping[str, float]]) -> Markup:
    """The model, the linear probe where it is known, and the better of the constant answers."""
    scale = 1 if key in NOT_SHARES else 100
    series = {"model": [scale * value for value in curve.means(key)]}
    if curve.probe:
        series["linear probe"] = [scale * of[key] for of in curve.probe.values()]
    constant = references["median score" if key in NOT_SHARES else "majority class"][key]
    if constant == constant:
        series["constant"] = [scale * constant] * len(curve.points)
    what = f", {curve.what} missing" if curve.what else ""
    return charts.lines(f"{TITLES[key]}{what}", [100 * share for share in curve.points], series)


def _shown(key: str, value: float) -> str:
    return plain(value, 3) if key in NOT_SHARES else plain(100 * value)
