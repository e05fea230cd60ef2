"""The labelled clips of a dataset: features by modality, scores and splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from model.data import doubts, left_out, truth
from model.data.batch import Batch
from model.data.channels import available, read_modality
from model.data.left_out import LeftOut
from model.data.provenance import provenance, random_stages
from model.metrics import MOSI, SCALES, Scale, scale_within
from pipeline.dataset.clip import LABEL, SPLITS
from pipeline.dataset.target import Target
from pipeline.errors import UserError
from pipeline.stage.about import MODALITIES
from pipeline.system.memory import keep_freed_steps

if TYPE_CHECKING:
    from pipeline.store.cache import Cache


NO_TEST = (
    "there is no test split: results are those on validation, on which the epoch is chosen, and so "
    "better than new clips would give"
)


@dataclass(frozen=True)
class Split:
    """The clips of one split: ids, features as cached, true values as `Samples` has them."""

    ids: Sequence[str]
    batch: Batch
    labels: np.ndarray


@dataclass(frozen=True)
class Samples:
    """The labelled clips of a dataset that have at least one modality.

    batch: features as cached, on the CPU; NaN where a clip lacks one of a modality's channels.
    labels: true values float64, [clips], or [clips, columns] where the targets have several; of
    classes their numbers, NaN where one is missing. splits: the split of each clip. targets: what
    the labels are of; scores have a range. target: what was asked for, empty for the clip's score,
    else a target's name, or `all`. channels: stages by modality. notes: what was left out, for the
    user. provenance: where every feature came from. left_out: the labelled clips that have none of
    the modalities. chosen: the stages that were asked for by modality, in place of the default's.
    """

    name: str
    ids: Sequence[str]
    batch: Batch
    labels: np.ndarray
    splits: np.ndarray
    targets: Sequence[Target]
    target: str = ""
    channels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    left_out: Sequence[LeftOut] = ()
    chosen: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def split(self, name: str) -> Split:
        """The clips of `train`, `valid` or `test`; raises UserError where there are none."""
        rows = np.flatnonzero(self.splits == name).tolist()
        if not rows:
            raise UserError(
                f"{self.name}: the {name} split has no labelled clip with anything to go by"
            )
        batch = self.batch[torch.tensor(rows)]
        return Split([self.ids[row] for row in rows], batch, self.labels[rows])

    def only(self, chosen: np.ndarray) -> Samples:
        """The clips where `chosen` [clips] is True."""
        ids = [self.ids[row] for row in np.flatnonzero(chosen).tolist()]
        batch, labels = self.batch[torch.from_numpy(chosen)], self.labels[chosen]
        return replace(self, ids=ids, batch=batch, labels=labels, splits=self.splits[chosen])

    @property
    def judged(self) -> str:
        """The split that results are of: `test`, or `valid` where there is no test split."""
        return "test" if (self.splits == "test").any() else "valid"

    @property
    def scale(self) -> Scale:
        """That of its first score on a known one, else CMU-MOSI's: a model's presets are by it."""
        ranges = [target.range for target in self.targets if target.range]
        scales = [scale for low_high in ranges if (scale := scale_within(*low_high)).name in SCALES]
        return next(iter(scales), MOSI)

    @property
    def random_stages(self) -> list[str]:
        """The stages with random weights behind the features, which tell little."""
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
    chosen: Mapping[str, Sequence[str]] = MappingProxyType({}),
    targets: Sequence[Target] = (),
) -> Samples:
    """Read the features and true values of a cache once; a clip without any modality is left out.

    channels: stages by modality; by default those that are `available`, with `chosen` ones in
    their place; a modality with none is left out. target: the name of one, "T", "A" or "V" for a
    modality's own score; "" for the dataset's first; "all" for all of them. scale: of scores whose
    range is not declared. targets: what `target` and `scale` stood for, where that was found out.
    Raises UserError for a channel that the cache does not have, or an unknown target.
    """
    keep_freed_steps()  # of each chunk that was read for the next ones
    notes: list[str] = []
    notes += [f"{m}: {' + '.join(chosen[m]) or 'left out'}, as asked" for m in chosen]
    targets = targets or truth.wanted(cache, target, scale)
    labels = truth.values(cache, targets)
    is_labelled = np.isfinite(labels).reshape(len(labels), -1).any(axis=1)
    labelled = _labelled(cache, is_labelled, notes)
    wanted = channels or available(cache, notes, chosen)
    batch, used = _read_batch(cache, wanted, is_labelled, notes)
    has_any = batch.has_any.numpy()
    kept, without = labelled[has_any], left_out.left_out(cache, used, labelled[~has_any])
    told = left_out.note(without), doubts.of_stale(cache, used, kept)
    notes += filter(None, [*told, doubts.note(cache, used, kept)])
    clips = cache.clips.iloc[kept]
    splits = clips["split"].to_numpy(dtype=str)
    notes += [NO_TEST] * ("test" not in splits)
    truth.require_known(cache.name, targets, labels[kept], splits)
    return Samples(
        name=cache.name,
        ids=clips["id"].tolist(),
        batch=batch if has_any.all() else batch[torch.from_numpy(has_any)],
        labels=labels[kept],
        splits=splits,
        targets=targets,
        target=_asked(target, targets),
        channels=used,
        notes=notes,
        provenance=provenance(cache, used),
        left_out=without,
        chosen=chosen,
    )


def _asked(target: str, targets: Sequence[Target]) -> str:
    name = target or targets[0].name
    return "" if name == LABEL else name


def _labelled(cache: Cache, is_labelled: np.ndarray, notes: list[str]) -> np.ndarray:
    """The rows that have a label."""
    rows = np.flatnonzero(is_labelled)
    if not len(rows):
        raise UserError(f"{cache.name}: no clip has a label")
    if without := len(is_labelled) - len(rows):
        notes.append(f"{without} of {len(is_labelled)} clips have no label and are left out")
    return rows


def _read_batch(
    cache: Cache, channels: Mapping[str, Sequence[str]], kept: np.ndarray, notes: list[str]
) -> tuple[Batch, dict[str, list[str]]]:
    """The modalities that any of the clips that are `kept` [clips] has, and their stages."""
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
