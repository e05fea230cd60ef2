"""A paired bootstrap over test clips and seeds: how far metrics vary, and which differences last.

Every metric is made of sums over clips, so that a resample of the clips is a weighting of them,
and all metrics of all resamples are matrix products.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from operator import itemgetter
from typing import TypeVar

import numpy as np

from model.objectives.objective import Objective
from model.objectives.sums import Sums

RESAMPLES = 10_000
AT_ONCE = 1_000  # resamples whose weights are in memory together
INTERVAL = (2.5, 97.5)  # %
SEED = 20

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Answers:
    """What a row of a table said of the test clips.

    rows: its clips, as their places among all test clips. predicted: its answers, [seeds, clips,
    columns].
    """

    rows: np.ndarray
    predicted: np.ndarray


def resampled(
    answers: Sequence[Answers], truth: np.ndarray, objective: Objective
) -> list[dict[str, np.ndarray]]:
    """Each row's metrics, by name [resamples]: the mean over the seeds that a resample has drawn.

    truth: of all test clips, [n, columns]. Every row is weighted by the same draws of
    clips, which makes their differences paired; seeds are drawn for each row by itself. Efron &
    Tibshirani, An Introduction to the Bootstrap (1993), ch. 13 and 16.
    """
    made = [[objective.sums(truth[own.rows], said) for said in own.predicted] for own in answers]
    clips, draws = np.random.default_rng(SEED), np.random.default_rng(SEED + 1)
    even = np.full(len(truth), 1 / len(truth))
    parts: list[list[dict[str, np.ndarray]]] = [[] for _ in answers]
    for _ in range(0, RESAMPLES, AT_ONCE):
        weights = clips.multinomial(len(truth), even, AT_ONCE).astype(np.float64)
        for part, own, by_seed in zip(parts, answers, made, strict=True):
            found = [_measured(weights[:, own.rows], sums) for sums in by_seed]
            drawn = draws.integers(len(found), size=(AT_ONCE, len(found)))
            part.append({key: _drawn([f[key] for f in found], drawn) for key in found[0]})
    return [{key: np.concatenate([p[key] for p in part]) for key in part[0]} for part in parts]


def interval(values: np.ndarray) -> tuple[float, float]:
    """The ends of the 95 % percentile interval of [resamples]; nan where none is known."""
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, INTERVAL) if len(known) else (np.nan, np.nan)
    return float(low), float(high)


def p_value(difference: np.ndarray) -> float:
    """Two-sided, of no difference, from the resamples of one; nan where none is known."""
    known = difference[np.isfinite(difference)]
    if not len(known):
        return float("nan")
    fewer = min((known <= 0).sum(), (known >= 0).sum())
    return min(1.0, float(2 * (1 + fewer) / (1 + len(known))))


def holm(values: Mapping[Key, float]) -> dict[Key, float]:
    """p values adjusted for how many were looked at (Holm, 1979); nan ones are left out."""
    known = sorted((p for p in values.items() if not isnan(p[1])), key=itemgetter(1))
    adjusted, largest = {}, 0.0
    for rank, (key, p) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[key] = largest
    return adjusted


def _drawn(by_seed: Sequence[np.ndarray], drawn: np.ndarray) -> np.ndarray:
    """The mean over the seeds `drawn` [resamples, seeds] of what each gave [resamples]."""
    return np.take_along_axis(np.stack(by_seed, axis=1), drawn, axis=1).mean(axis=1)


def _measured(weights: np.ndarray, sums: Mapping[str, Sums]) -> dict[str, np.ndarray]:
    """Each metric on each resample; nan where it has none. weights: [resamples, clips]."""
    columns = [(key, name) for key, own in sums.items() for name in own.parts]
    stacked = np.stack([sums[key].parts[name] for key, name in columns], axis=1).astype(np.float64)
    totals: dict[str, dict[str, np.ndarray]] = {key: {} for key in sums}
    for (key, name), total in zip(columns, (weights @ stacked).T, strict=True):
        totals[key][name] = total
    with np.errstate(divide="ignore", invalid="ignore"):
        return {key: own.value(totals[key]) for key, own in sums.items()}
