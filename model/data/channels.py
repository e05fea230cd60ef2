"""The channels of a modality: which stages they are, and their features side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch

from model.data.nearest_step import nearest
from pipeline.dag.stage import about, default_channels
from pipeline.errors import UserError
from pipeline.stage.about import MODALITIES
from pipeline.system import resources
from pipeline.system.threads import at_work, spread

if TYPE_CHECKING:
    from pipeline.store.cache import Cache
    from pipeline.store.stage_view import StageView

VERSION = 2
"""Of how channels become a modality: raised whenever the same features give other numbers."""


def available(
    cache: Cache, notes: list[str], chosen: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> dict[str, Sequence[str]]:
    """The stages of each modality: those `chosen` for it, else those that the cache has by default.

    That is the default channels, or else all others of the modality; of imported features, all of
    it. What the cache does not have is noted.
    """
    found: dict[str, Sequence[str]] = {}
    if cache.imported_from:
        notes.append(f"the features were imported from {cache.imported_from}")
        found = {m: [s for s, of in cache.modalities.items() if of == m] for m in MODALITIES}
        notes.extend(
            f"{m}: none was imported" for m, stages in found.items() if not (stages or m in chosen)
        )
        return {**found, **chosen}
    for modality, stages in default_channels().items():
        if modality in chosen:
            found[modality] = chosen[modality]
            continue
        if absent := [stage for stage in stages if stage not in cache]:
            notes.append(f"{modality}: the cache has no {' and no '.join(absent)}")
        here = [stage for stage in stages if stage in cache]
        found[modality] = here or [s for s in cache if about(cache[s]).modality == modality]
    return found


def read_modality(stages: Sequence[StageView], kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The channels of one modality side by side, for the clips where `kept` is True.

    Returns float32 [n, steps, sum of widths] and int64 lengths [n], a clip's longest channel.
    A shorter channel is stretched to that, so that rows side by side cover the same time; where a
    clip lacks a channel that channel is NaN, which models are given as the mean.
    """
    _require_alike(stages)
    lengths = np.stack([stage.lengths[kept] for stage in stages]).astype(np.int64)
    longest = lengths.max(axis=0)
    widths = [stage.shape[-1] for stage in stages]
    x = np.empty((*stages[0].shape[:-1], sum(widths)), np.float32)
    with at_work(resources.cores()):
        for stage, rows in zip(stages, _channels(x, widths), strict=True):
            stage.read(out=rows)
        x = x if kept.all() else x[kept]
        # One pass over all: where it fails is only looked for if it does.
        is_finite = all(spread(_is_finite, np.array_split(x, resources.cores())))
    for stage, rows, own in zip(stages, _channels(x, widths), lengths, strict=True):
        if not is_finite:
            _check_finite(stage.name, rows)
        _stretch(rows, own, longest)
    return x, longest


def _require_alike(stages: Sequence[StageView]) -> None:
    """Raise UserError unless each stage has values a step, and all have the same steps."""
    for stage in stages:
        if stage.width is None:
            raise UserError(
                f"stage {stage.name!r} has no features of [steps, width] to take; name another"
            )
        if stage.shape[1] != stages[0].shape[1]:
            steps = f"{stage.shape[1]} steps and {stages[0].name!r} {stages[0].shape[1]}"
            raise UserError(
                f"stage {stage.name!r} has {steps}; run `smp extract` with one `steps` for both"
            )
        if stage.by_word != stages[0].by_word:
            words, even = sorted((stage, stages[0]), key=lambda one: not one.by_word)
            raise UserError(
                f"the steps of stage {words.name!r} are words, those of {even.name!r} not; name "
                "stages that go together, or set `sampling: words` for both"
            )


def _channels(x: np.ndarray, widths: Sequence[int]) -> list[np.ndarray]:
    """Views of x [n, steps, sum of widths], one for each of the widths."""
    return np.split(x, np.cumsum(widths)[:-1], axis=-1)


def _stretch(rows: np.ndarray, own: np.ndarray, longest: np.ndarray) -> None:
    """Spread each clip's `own` steps over `longest`, ends on ends, by `nearest`; in place."""
    shorter = np.flatnonzero(own < longest)
    short, long = (torch.from_numpy(lengths[shorter]) for lengths in (own, longest))
    for i, steps in zip(shorter, nearest(short, long, rows.shape[1]).numpy(), strict=True):
        rows[i, : longest[i]] = rows[i, steps[: longest[i]]] if own[i] else np.nan


def _is_finite(rows: np.ndarray) -> bool:
    return bool(np.isfinite(rows.sum(axis=(1, 2))).all())  # a sum shows any NaN or infinity


def _check_finite(stage: str, rows: np.ndarray) -> None:
    bad = sum(not _is_finite(row[None]) for row in rows)
    if bad:
        raise UserError(f"stage {stage!r}: the features of {bad} clips hold NaN or infinity")
