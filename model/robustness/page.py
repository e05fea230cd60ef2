"""The page of a model's robustness: each curve drawn, and the area under it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from math import inf, isfinite
from pathlib import Path

from markupsafe import Markup

from model.metrics import is_share, measure, shown, title
from model.robustness.curves import (
    AT_TEST,
    AT_TRAINING,
    CLIPS,
    LOST,
    NOISE,
    Curve,
    Robustness,
)  # fmt: skip
from model.robustness.folder import keys_of
from pipeline.html import charts, templates, write_page

PAGE = "robustness.html"
DRAWN = ("acc2", "corr", "mae", "acc3", "acc", "f1", "uar")  # the first three of those there are
TITLES = {
    CLIPS: "Fewer clips to learn from",
    AT_TEST: "What is missing at test",
    AT_TRAINING: "What is missing at training too",
    NOISE: "Noise in the test clips",
}
TOLD = {
    CLIPS: "The score over the share of the training clips, in %.",
    AT_TEST: "Trained on everything; the score over how much is missing of the test clips, in %.",
    AT_TRAINING: "Trained, selected and tested on clips that lack as much; over how much, in %.",
    NOISE: "Trained on clean clips; the score over how bad the test clips are made before their "
    "features are extracted.",
}
AREA = {
    AT_TEST: f"Area under each curve, from 0 to {LOST[-1]} missing",
    NOISE: "Area under each curve, its levels taken as 0 to 1: the mean score over them",
}
AREA[AT_TRAINING] = AREA[AT_TEST]


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
        areas=AREA,
    )  # fmt: skip


def _chart(curve: Curve, key: str, references: Mapping[str, Mapping[str, float]]) -> Markup:
    """The model, the linear probe where it is known, and the better of the constant answers."""
    scale = 100 if is_share(key) else 1
    means = {x: scale * mean for x, mean in zip(curve.points, curve.means(key), strict=True)}
    clean = means.pop(inf, None)
    series = {"model": list(means.values())}
    if clean is not None:
        series["clean"] = [clean] * len(means)
    if curve.probe:
        series["linear probe"] = [scale * of[key] for of in curve.probe.values()]
    row = "majority class" if is_share(key) else "median score"
    constant = references.get(row, {}).get(key, float("nan"))
    if isfinite(constant):
        series["constant"] = [scale * constant] * len(means)
    if curve.kind == NOISE:
        return charts.lines(f"{title(key)}, {curve.what}", list(means), series)
    what = f", {curve.what} missing" if curve.what else ""
    return charts.lines(f"{title(key)}{what}", [100 * share for share in means], series)


def _place(key: str) -> int:
    return DRAWN.index(measure(key))
