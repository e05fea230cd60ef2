"""A trained model on new clips: the run's own stages make the features, its network the score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from model.data.batch import Batch
from model.data.channels import read_modality
from model.data.left_out import NOTHING, at_source
from model.data.provenance import random_stages
from model.finetune.network import FineTuned
from model.finetune.text_stage import tokens_of
from model.objectives.objective import Validated
from model.objectives.prediction import Prediction
from model.runs import seal
from model.runs.files import PROVENANCE, SETTINGS, read_json, understood
from model.runs.load import load_model
from model.runs.predictions import read_validated
from model.training.loop import in_columns
from pipeline.dag.recipe import Recipe
from pipeline.dag.trust import is_listed
from pipeline.dataset.clip import Clip
from pipeline.dataset.from_paths import of_file
from pipeline.errors import UserError
from pipeline.runner.new_clips import extract_clips
from pipeline.runner.types import Listener
from pipeline.stage.result import FAILED, OK
from pipeline.store.cache import Cache, open_cache


class TrainedModel:
    """The model of a run folder with the stages that make its features: clips in, predictions out.

    Its network, and those of the stages, stay in memory from call to call.
    """

    def __init__(
        self,
        run: str | Path,
        weights: Mapping[str, str] | None = None,
        trust: bool = False,
    ) -> None:
        """weights: where the weights of a stage are, for those that lie elsewhere than they did.

        trust: the run's record may name programs and modules outside the package.
        Raises UserError where the folder is no run, the stages would make other features here, or
        would run what is not trusted.
        """
        self.run = Path(run)
        is_own = trust or is_listed(self.run)
        self.predictor = load_model(self.run, is_own, weights)
        self.provenance = read_json(self.run, PROVENANCE)
        settings = read_json(self.run, SETTINGS)
        with understood(self.run, SETTINGS):
            self.channels: Mapping[str, Sequence[str]] = settings["data"]["channels"]
            self.scale = str(settings["data"]["scale"])
        with understood(self.run, PROVENANCE):
            _ = self.provenance["dataset"], self.random_stages
            extraction = self.provenance.get("extraction")
        if not extraction:
            raise UserError(
                f"{run} does not say how its features were made from clips: they were imported, or "
                "an earlier version trained it; train again on features of `smp extract`"
            )
        with understood(self.run, PROVENANCE):
            self.stages = Recipe.from_json(extraction).here(weights, str(run), is_own)

    @property
    def is_sealed(self) -> bool:
        """Whether damage to the run is seen; of runs of earlier versions it isn't."""
        return seal.is_sealed(self.run)

    @property
    def random_stages(self) -> list[str]:
        """The stages with random weights on which its features rest: they tell little."""
        return random_stages(self.provenance)

    @cached_property
    def validated(self) -> Validated:
        """What was said of the validation clips, by which it is known how sure a score is."""
        return read_validated(self.run, self.predictor.objective)

    def dataset(self) -> dict[str, Clip]:
        """The clips of the dataset that the model was trained on, by id; none without its cache."""
        try:
            table = open_cache(self.provenance["cache"]).table
        except UserError:
            return {}
        return {table.rows[i].clip.id: table.rows[i].clip for i in table.present}

    def __call__(
        self,
        clips: Iterable[str | Path | Clip],
        cache: str | None = None,
        listener: Listener | None = None,
    ) -> list[Prediction]:
        """A prediction of every clip, in that order; all go through the stages together.

        clips: paths of media, or clips with a text. cache: URL of a cache that keeps the features
        for the next call; they are not kept where none is named. listener: as in `extract`.
        """
        given = [clip if isinstance(clip, Clip) else of_file(clip) for clip in clips]
        if not given:
            return []
        unique = _with_unique_ids(given)
        ids = [clip.id for clip in unique]
        with TemporaryDirectory(prefix="smp-predict-") as temporary:
            features = extract_clips(unique, self.stages, cache or f"{temporary}/cache", listener)
            batch, unsaid = self._read(features, ids)
        rows = [n for n, one in enumerate(unsaid) if not one.error]
        said = dict(zip(rows, self._said(batch[torch.tensor(rows)]) if rows else [], strict=True))
        return [
            replace(said.get(n, one), clip=given[n].id, missing=one.missing)
            for n, one in enumerate(unsaid)
        ]

    def _said(self, batch: Batch) -> list[Prediction]:
        y = in_columns(self.predictor.predict(batch))
        is_finite = np.isfinite(y).all(axis=1)
        of = self.predictor.objective.said(np.nan_to_num(y), lambda: self.validated)
        return [
            one if fine else Prediction("", error="the model gives no finite number for it")
            for one, fine in zip(of, is_finite, strict=True)
        ]

    def _read(self, cache: Cache, ids: Sequence[str]) -> tuple[Batch, list[Prediction]]:
        """The clips as training reads them, and what is known of each before anything is said."""
        place = {cache.table.rows[i].clip.id: n for n, i in enumerate(cache.table.present)}
        order = [place[id] for id in ids]
        every = np.full(len(place), True)
        features, lengths = {}, {}
        for modality, stages in self.channels.items():
            x, n = read_modality([cache[stage] for stage in stages], every)
            features[modality], lengths[modality] = (torch.from_numpy(a[order]) for a in (x, n))
        views = [cache[stage.name] for stage in self.stages if stage.stored]
        states = [{v.name: (v.states[n], v.reasons[n]) for v in views} for n in order]
        batch = Batch(features, lengths, self._tokens(cache, ids))
        pairs = zip(states, batch.has_any.tolist(), strict=True)
        return batch, [self._unsaid(of_clip, has_any) for of_clip, has_any in pairs]

    def _tokens(self, cache: Cache, ids: Sequence[str]) -> Tensor | None:
        """What an encoder reads that was trained with the model."""
        if not isinstance(self.predictor.network, FineTuned):
            return None
        return tokens_of(self.stages[self.channels["text"][0]], cache, ids)

    def _unsaid(self, states: Mapping[str, tuple[str, str]], has_any: bool) -> Prediction:
        """What is missing of a clip, and why nothing can be predicted if so, by stage states."""
        names = {stage.name for stage in self.stages}
        why = {
            stage: at_source(reason, names)
            for stage, (state, reason) in states.items()
            if state != OK
        }
        failed = [reason for stage, reason in why.items() if states[stage][0] == FAILED]
        missing: dict[str, str] = {}
        for modality, stages in self.channels.items():
            absent = {stage: why[stage] for stage in stages if stage in why}
            is_whole = len(absent) == len(stages)
            missing |= {modality: absent[stages[0]]} if is_whole else absent
        if not failed and not has_any:
            failed = [f"{NOTHING}: {'; '.join(missing.values()) or 'no steps'}"]
        return Prediction("", missing=missing, error=failed[0] if failed else "")


def _with_unique_ids(clips: Sequence[Clip]) -> list[Clip]:
    """The same file may be given several times, with several texts."""
    unique: dict[str, Clip] = {}
    for clip in clips:
        times, id = 1, clip.id
        while id in unique:
            times, id = times + 1, f"{clip.id} ({times + 1})"
        unique[id] = replace(clip, id=id)
    return list(unique.values())
