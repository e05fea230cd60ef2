"""Features over the steps: how long each step's vector is, and all channels as a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.html import data_uri
from pipeline.inspect.stage_result import StageResult

TALLEST = 96
PX_A_STEP = 24  # whole pixels a value, so that no browser blurs them


@dataclass(frozen=True)
class Heat:
    """Channels as a picture, grey for how much: the page gives it its colour."""

    title: str
    picture: str
    channels: int


@dataclass(frozen=True)
class FeaturesPanel:
    """norms: the Euclidean length of each step's vector, and its share of the longest."""

    heats: tuple[Heat, ...]
    norms: tuple[float, ...]
    shares: tuple[float, ...]
    steps: int
    width: int
    template: str = "features"


def panel(result: StageResult) -> FeaturesPanel:
    """The stage's first field, [steps, width]."""
    rows = result.rows[next(iter(result.fields))]
    return _panel(result, rows, [("All channels", rows)])


def differences_panel(result: StageResult) -> FeaturesPanel:
    """Coefficients, first and second differences apart: they differ in scale and in meaning."""
    rows = result.rows["features"]
    names = ("Coefficients", "Δ, first difference", "ΔΔ, second difference")
    return _panel(result, rows, list(zip(names, np.split(rows, 3, axis=1), strict=True)))


def _panel(
    result: StageResult, rows: np.ndarray, parts: list[tuple[str, np.ndarray]]
) -> FeaturesPanel:
    steps = result.steps or len(rows)
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    return FeaturesPanel(
        tuple(Heat(title, _picture(part, steps), part.shape[1]) for title, part in parts),
        tuple(norms.tolist()),
        tuple((norms / (norms.max() or 1.0)).round(4).tolist()),
        steps,
        rows.shape[1],
    )


def _picture(rows: np.ndarray, steps: int) -> str:
    """The heat map, black where padded."""
    shades = np.zeros((min(rows.shape[1], TALLEST), steps), np.uint8)
    shades[:, : len(rows)] = np.rint(255 * heat(rows))
    px_a_channel = max(1, TALLEST // len(shades))
    return data_uri(shades.repeat(PX_A_STEP, axis=1).repeat(px_a_channel, axis=0), "png")


def heat(rows: np.ndarray, tallest: int = TALLEST) -> np.ndarray:
    """`rows` [n, channels] as float64 [≤ tallest, n] of 0..1, the first channel on top.

    Each channel is scaled by its own least and most; one that stays the same is 0. Where there are
    more channels than `tallest`, neighbours are averaged, and scaled again.
    """
    channels = _scaled(rows.T.astype(np.float64))
    if len(channels) <= tallest:
        return channels
    starts = np.linspace(0, len(channels), tallest, endpoint=False).astype(int)
    return _scaled(np.add.reduceat(channels, starts))


def _scaled(channels: np.ndarray) -> np.ndarray:
    least, most = channels.min(1, keepdims=True), channels.max(1, keepdims=True)
    return np.asarray((channels - least) / np.where(most > least, most - least, 1.0))
