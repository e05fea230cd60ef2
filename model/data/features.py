"""A cache's features as tensors by modality, with the scores and splits of its labelled clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from model.data import doubts, left_out
from model.data.batch import MODALITIES, Batch
from model.data.left_out import LeftOut
from model.data.nearest_step import nearest
from model.metrics import SCALES, Scale, scale_of
from model.step.memory import keep_freed_memory
from pipeline.dag.recipe import Recipe
from pipeline.errors import UserError
from pipeline.system import resources
from pipeline.system.threads import at_work, spread

if TYPE_CHECKING:
    from pipeline.store.cache import Cache, StageView

VERSION = 2
"""Of how channels become a modality: raised whenever the same features give other numbers."""
SPLITS = ("train", "valid", "test")
CHANNELS: Mapping[str, Sequence[str]] = {
    "visual": ("resnet18", "action_units"),
    "audio": ("mfcc", "wav2vec2"),
    "text": ("bert",),
}
"""The stages whose features, side by side, are a modality."""
INSTEAD: Mapping[str, Sequence[str]] = {"text": ("tencent",)}
"""Those that are one where a cache has none of the former."""


@dataclass(frozen=True)
class Split:
    """The clips of one split: ids, features as cached, scores float64 [n]."""

    ids: Sequence[str]
    batch: Batch
    labels: np.ndarray


@dataclass(frozen=True)
class Samples:
    """The labelled clips of a dataset that have anything to go by.

    batch: features as cached, on the CPU; NaN where a clip lacks one of a modality's channels.
    labels: scores float64 [clips]. splits: the split of each clip. channels: stages by modality.
    notes: what was left out, for the user. provenance: where every feature came from. left_out:
    the labelled clips that have none of the modalities.
    """

    name: str
    ids: Sequence[str]
    batch: Batch
    labels: np.ndarray
    splits: np.ndarray
    scale: Scale
    target: str = ""
    channels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    left_out: Sequence[LeftOut] = ()

    def split(self, name: str) -> Split:
        """The clips of `train`, `valid` or `test`; raises UserError where there are none."""
        rows = np.flatnonzero(self.splits == name).tolist()
        if not rows:
            raise UserError(
                f"{self.name}: no labelled clip with anything to go by is in the {name} split"
            )
        batch = self.batch[torch.tensor(rows)]
        return Split([self.ids[row] for row in rows], batch, self.labels[rows])

    @property
    def random_stages(self) -> list[str]:
        """The stages with random weights on which the features rest: they tell little."""
        return random_stages(self.provenance)

    def table(self) -> dict[str, dict[str, int]]:
        """By split: how many clips, how many of them have each modality, how many are left out."""
        rows = {}
        for split in SPLITS:
            chosen = torch.from_numpy(self.splits == split)
            have = {m: int((n[chosen] > 0).sum()) for m, n in self.batch.lengths.items()}
            without = sum(clip.split == split for clip in self.left_out)
            rows[split] = {"clips": int(chosen.sum()), **have, "left_out": without}
        return rows


def load_samples(
    cache: Cache,
    channels: Mapping[str, Sequence[str]] | None = None,
    target: str = "",
    scale: str = "auto",
    text: Sequence[str] = (),
) -> Samples:
    """Read what a model needs from `cache`, once. A clip that has none of it is left out.

    channels: stages by modality; by default those that are `available`. target: ""
    for the clip's score, or "T", "A", "V" for that modality's own. text: the stages of that
    modality, where they are not to be the default's.
    Raises UserError for a channel asked for by name that the cache lacks, or an unknown target.
    """
    keep_freed_memory()  # of each chunk that was read for the next ones
    notes: list[str] = []
    labels = _labels(cache, target)
    kept = np.isfinite(labels)
    if not kept.any():
        raise UserError(f"{cache.name}: no clip has a label")
    if not kept.all():
        notes.append(f"{(~kept).sum()} of {len(kept)} clips have no label and are left out")
    chosen = channels or {**available(cache, notes), **({"text": text} if text else {})}
    batch, used = _read_batch(cache, chosen, kept, notes)
    has_any = batch.has_any.numpy()
    labelled = np.flatnonzero(kept)
    kept[labelled] = has_any
    without = left_out.left_out(cache, used, labelled[~has_any])
    notes += [left_out.note(without)] if without else []
    notes += filter(None, [doubts.note(cache, used, kept)])
    clips = cache.clips[kept]
    return Samples(
        name=cache.name,
        ids=clips["id"].tolist(),
        batch=batch if has_any.all() else batch[torch.from_numpy(has_any)],
        labels=labels[kept],
        splits=clips["split"].to_numpy(dtype=str),
        scale=scale_of(labels[labelled]) if scale == "auto" else SCALES[scale],
        target=target,
        channels=used,
        notes=notes,
        provenance=provenance(cache, used),
        left_out=without,
    )


def _labels(cache: Cache, target: str) -> np.ndarray:
    column = f"label_{target}" if target else "label"
    if column not in cache.clips:
        known = [c.removeprefix("label_") for c in map(str, cache.clips) if c.startswith("label_")]
        raise UserError(f"{cache.name}: no labels for {target!r}; there are {known or 'none'}")
    return cache.clips[column].to_numpy(np.float64)


def available(cache: Cache, notes: list[str]) -> dict[str, Sequence[str]]:
    """The stages that make up each modality, as far as the cache has them; the rest is noted.

    Those of CHANNELS, or else of INSTEAD; of features that were imported, all of the modality.
    """
    found: dict[str, Sequence[str]] = {}
    if cache.imported_from:
        notes.append(f"the features were imported from {cache.imported_from}")
        found = {m: [s for s, of in cache.modalities.items() if of == m] for m in CHANNELS}
        notes.extend(f"{m}: none was imported" for m, stages in found.items() if not stages)
        return found
    for modality, stages in CHANNELS.items():
        here, instead = ([s for s in m if s in cache] for m in (stages, INSTEAD.get(modality, ())))
        if lacking := [stage for stage in stages if stage not in here]:
            notes.append(f"{modality}: the cache has no {' and no '.join(lacking)}")
        found[modality] = here or instead
    return found


def _read_batch(
    cache: Cache, channels: Mapping[str, Sequence[str]], kept: np.ndarray, notes: list[str]
) -> tuple[Batch, dict[str, list[str]]]:
    features, lengths, used = {}, {}, {}
    for modality in (m for m in MODALITIES if channels.get(m)):
        x, n = read_modality([cache[stage] for stage in channels[modality]], kept)
        if not n.any():
            notes.append(f"{modality}: no clip has it, the model is built without")
            continue
        features[modality], lengths[modality] = torch.from_numpy(x), torch.from_numpy(n)
        used[modality] = list(channels[modality])
    if not features:
        raise UserError(f"{cache.name}: no features to train on; run `{cache.command}` first")
    return Batch(features, lengths), used


def read_modality(stages: Sequence[StageView], kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The channels of one modality side by side, for the clips where `kept` is True.

    Returns float32 [n, steps, sum of widths] and int64 lengths [n], a clip's longest channel.
    A shorter channel is stretched to that, so that rows side by side cover the same time; where a
    clip lacks a channel that channel is NaN, which models are given as the mean.
    """
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


def provenance(cache: Cache, channels: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Where the features of these stages came from: cache, file, fingerprints, weights, recipe."""
    names = [stage for chosen in channels.values() for stage in chosen]
    recipe = Recipe.of(cache, names)
    stages = {}
    for name in names:
        attributes = cache[name].attributes
        stages[name] = {
            "fingerprint": cache[name].fingerprint,
            "weights": attributes.get("weights") or {},
            "random": cache[name].random_weights,
        }
    source = {"imported_from": cache.imported_from} if cache.imported_from else {}
    extraction = recipe.to_json() if recipe else None
    origin = {"cache": cache.url, "dataset": cache.name, **source}
    return {**origin, "stages": stages, "extraction": extraction}


def random_stages(provenance: Mapping[str, Any]) -> list[str]:
    """The stages with random weights on which the features of a `provenance` rest."""
    stages = provenance.get("stages", {}).items()
    # Earlier runs tell only that there is one, not which.
    of_each = [[name] if one["random"] is True else one["random"] or [] for name, one in stages]
    return list(dict.fromkeys(name for own in of_each for name in own))
