"""The true values of a cache's clips: which targets are wanted, and what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from model.metrics import SCALES, Scale, scale_of
from pipeline.dataset.clip import LABEL, SPLITS
from pipeline.dataset.target import ALL, Target
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.store.cache import Cache


def scored(scale: Scale, name: str = LABEL) -> tuple[Target, ...]:
    """One score on a known scale, by default the clip's own, as the only target."""
    return (Target(name=name, range=(scale.low, scale.high)),)


def wanted(cache: Cache, name: str, scale: str = "auto") -> tuple[Target, ...]:
    """The target of that name, "" for the default, or `all`; each score with its range.

    scale: of scores whose range is not declared; `auto` goes by their values. Raises UserError
    where the dataset has no such target, or scores lie beyond every scale.
    """
    known = {target.name: target for target in cache.targets}
    if not known:
        raise UserError(f"{cache.name}: no clip has a label")
    if name not in ("", ALL, *known):
        there = [known_name for known_name in known if known_name != LABEL]
        listed = ", ".join(there) or "none"
        raise UserError(f"{cache.name}: no labels for {name!r}; there are {listed}")
    chosen = list(known.values()) if name == ALL else [known[name or next(iter(known))]]
    return tuple(_ranged(cache, target, scale) for target in chosen)


def _ranged(cache: Cache, target: Target, scale: str) -> Target:
    if target.range or target.kind != "score":
        return target
    values = cache.clips[target.columns[0]].to_numpy(np.float64)
    found = scale_of(values[np.isfinite(values)]) if scale == "auto" else SCALES[scale]
    return target.model_copy(update={"range": (found.low, found.high)})


def values(cache: Cache, targets: Sequence[Target]) -> np.ndarray:
    """True values float64 [clips, columns], [clips] of one column; NaN where they are missing."""
    found = [_column(cache, target, column) for target in targets for column in target.columns]
    return np.stack(found, axis=1) if len(found) > 1 else found[0]


def _column(cache: Cache, target: Target, column: str) -> np.ndarray:
    if column not in cache.clips:
        return np.full(len(cache.clips), np.nan)
    if target.kind == "classes":
        numbers = {name: float(number) for number, name in enumerate(target.classes)}
        return cache.clips[column].map(numbers).to_numpy(np.float64)
    return cache.clips[column].to_numpy(np.float64)


def require_known(
    name: str, targets: Sequence[Target], labels: np.ndarray, splits: np.ndarray
) -> None:
    """UserError where a split has no value of one of several columns: it could not be measured."""
    columns = [column for target in targets for column in target.columns]
    for split in SPLITS if labels.ndim > 1 else ():
        known = np.isfinite(labels[splits == split])
        for column, is_known in zip(columns, known.any(axis=0), strict=True):
            if len(known) and not is_known:
                raise UserError(f"{name}: no clip of the {split} split has a value of {column}")
