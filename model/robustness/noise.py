"""The test clips made harder to hear or to see, and extracted again as the cached ones were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.data.batch import Batch
from model.data.channels import read_modality
from model.data.samples import Samples
from model.experiments.identity import digest_of_batch
from model.experiments.trainings import Show
from pipeline.dag.changes import of_identity
from pipeline.dag.identity import Identities
from pipeline.dag.plan import StagePlan
from pipeline.dag.spec import Stages
from pipeline.dataset.clip import MEDIA
from pipeline.dataset.load import Dataset
from pipeline.errors import UserError
from pipeline.messages import counted
from pipeline.runner.extract import RunOptions, bring_up_to_date
from pipeline.runner.types import Engine, Outcome
from pipeline.store.cache import Cache, open_cache

SNR_DB, BLUR_PX, OCCLUDED = "snr_db", "blur_px", "occluded"  # settings of `augment`
WHAT = {
    SNR_DB: "SNR in dB, {} noise", BLUR_PX: "blur of the face in px of 112",
    OCCLUDED: "share of the face covered",
}  # fmt: skip
NONE = {SNR_DB: inf, BLUR_PX: 0.0, OCCLUDED: 0.0}  # the level of a clean clip


@dataclass(frozen=True)
class Noisy:
    """The test clips at one level, for models that were trained on clean ones.

    setting: of WHAT; what: the same for people. batch: of the test clips in their order.
    """

    setting: str
    what: str
    level: float
    batch: Batch

    def of(self, batch: Batch) -> Batch:
        """The same clips as `batch`, as they are at this level."""
        return self.batch

    def __str__(self) -> str:
        return f"{self.what} {self.level:g} {self._digest[:16]}"

    @cached_property
    def _digest(self) -> str:
        return digest_of_batch(self.batch)


def noisy(
    cache: Cache,
    samples: Samples,
    stages: Stages,
    engine: Engine,
    levels: Mapping[str, Sequence[float]],
    kind: str = "white",
    show: Show = lambda done, text: None,
) -> tuple[list[Noisy], list[str]]:
    """The test clips of `samples` at all levels, and notes for the user.

    They are extracted into the cache, beside its stages, which stay its current ones; what is there
    already isn't made again. stages: those that made the cache. levels: by setting of `augment`.
    kind: of noise. Raises UserError where the clips can't be extracted as they were, or one can't.
    """
    test = _Extraction(cache, samples, stages, engine)
    wanted = [
        (setting, level)
        for setting, own in levels.items()
        for level in sorted(set(own), reverse=setting == SNR_DB)
    ]
    found: list[Noisy] = []
    for number, (setting, level) in enumerate(wanted):
        told = _Told(f"{setting} {level:g}", number / len(wanted), 1 / len(wanted), show)
        augment = {setting: level, **({"noise": kind} if setting == SNR_DB else {})}
        if batch := test.at(setting, augment, told):
            found.append(Noisy(setting, WHAT[setting].format(kind.replace("_", "-")), level, batch))
    return found, list(dict.fromkeys(test.notes))


@dataclass
class _Told:
    """A listener that tells of one level's extraction as a part of all of them."""

    what: str
    begins: float
    share: float
    show: Show
    total: int = 0
    done: int = 0

    def planned(self, plans: Sequence[StagePlan]) -> None:
        self.total = sum(len(plan.tasks) for plan in plans)
        self.show(self.begins, self.what)

    def finished(self, outcome: Outcome) -> None:
        self.done += 1
        done = self.begins + self.share * self.done / self.total
        self.show(done, f"{self.what}: {outcome.stage}")


class _Extraction:
    """The test clips with settings of their stages changed, in the cache of the clean ones.

    notes: what the user should know of them. Raises UserError where they can't be extracted as they
    were.
    """

    def __init__(self, cache: Cache, samples: Samples, stages: Stages, engine: Engine) -> None:
        self.cache, self.stages, self.engine = cache, stages, engine
        self.channels, self.test = samples.channels, samples.split("test")
        self.notes: list[str] = []
        if cache.imported_from:
            raise UserError(f"the features were imported from {cache.imported_from}")
        ids, table = set(self.test.ids), cache.table
        rows = [row if row.clip.id in ids else replace(row, removed=True) for row in table.rows]
        self.table = replace(table, rows=rows)
        self.clips = tuple(rows[number].clip for number in self.table.present)
        paths = (path for c in self.clips for part in MEDIA if (path := getattr(c, part)))
        if gone := [path for path in paths if not Path(path).is_file()]:
            raise UserError(f"{counted(len(gone), 'file')} of test clips not found: {gone[0]} …")
        self.clean = self._identities(stages)
        for name in self._names:
            if differing := of_identity(cache.identities[name], self.clean[name]):
                raise UserError(
                    f"stage {name!r} was made otherwise than it would be now: "
                    f"{'; '.join(differing)}; give its stages file with --stages, or extract again"
                )

    def at(self, setting: str, augment: Mapping[str, Any], told: _Told) -> Batch | None:
        """The test clips with that `augment`; None where it changes nothing of their features."""
        stages = self._augmented(setting, augment)
        identities = self._identities(stages)
        changed = [n for n in self._names if self.clean[n] != identities[n]]
        if not changed:
            self.notes.append(f"no curve of {setting}: no stage of the features has it")
            return None
        for modality, names in self.channels.items():
            clean = [name for name in names if name not in changed]
            if 0 < len(clean) < len(names):
                self.notes.append(f"{modality}, {setting}: {', '.join(clean)} is as in clean clips")
        known = self.cache.table
        done = bring_up_to_date(
            Dataset(known.name, Path(known.root), self.clips),
            stages,
            self.engine,
            self.cache.url,
            RunOptions(only=changed, drop_missing=False, beside=True),
            told,
        )
        for outcome in done.outcomes:
            if outcome.error:
                raise UserError(f"stage {outcome.stage!r}, {told.what}: {outcome.error}")
        return self._read(identities, changed, told.what)

    @property
    def _names(self) -> list[str]:
        return [name for own in self.channels.values() for name in own]

    def _identities(self, stages: Stages) -> Identities:
        return stages.identities(stages.chosen(self._names))

    def _augmented(self, setting: str, augment: Mapping[str, Any]) -> Stages:
        """The stages with that `augment` wherever there is such a setting."""
        boxes = dict(self.stages.spec["stages"])
        for stage in self.stages:
            own: Any = getattr(stage.settings, "augment", None)
            if hasattr(own, setting):
                whole = {**own.model_dump(), **augment}
                boxes[stage.name] = {**(boxes[stage.name] or {}), "augment": whole}
        return Stages({**self.stages.spec, "stages": boxes})

    def _read(self, identities: Identities, changed: Sequence[str], what: str) -> Batch:
        """The test clips in their order; modalities with none of the stages changed are clean."""
        cache = open_cache(self.cache.url)
        cache.follow(lambda stored: self.table)
        place = {clip.id: n for n, clip in enumerate(self.clips)}
        order, every = [place[id] for id in self.test.ids], np.full(len(place), True)
        features, lengths = dict(self.test.batch.features), dict(self.test.batch.lengths)
        for modality, names in self.channels.items():
            if not set(changed).isdisjoint(names):
                x, n = read_modality([cache.view(s, identities[s]) for s in names], every)
                features[modality], lengths[modality] = (torch.from_numpy(a[order]) for a in (x, n))
                had = self.test.batch.lengths[modality] > 0
                if lost := int((had & (lengths[modality] == 0)).sum()):
                    self.notes.append(f"{what}: {counted(lost, 'test clip')} lost {modality}")
        batch = Batch(features, lengths)
        if lost := len(batch) - int(batch.has_any.sum()):
            raise UserError(f"{what}: {counted(lost, 'test clip')} without any features")
        return batch
