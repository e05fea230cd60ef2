"""A long video's utterances, and what a model says of each: sentiment over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from model.inference.predict import TrainedModel
from model.objectives.prediction import Prediction
from pipeline.dataset.clip import VIDEOS, Clip
from pipeline.runner.types import Listener
from pipeline.segment.segment import USUAL, Hears, Utterance, segment
from pipeline.segment.utterances import Cutting
from pipeline.stage.result import OK
from pipeline.stage.steps import sample_indices
from pipeline.store.cache import Cache, open_cache

FACES = 3  # of an utterance, evenly over its time
PANEL, FIELD = "faces", "images"


@dataclass(frozen=True)
class Part:
    """An utterance, what the model says of it, and up to three of its faces [112, 112, 3]."""

    utterance: Utterance
    said: Prediction
    faces: Sequence[np.ndarray] = ()

    def to_json(self) -> dict[str, Any]:
        """When, what, and what the model says; without the faces."""
        return {**asdict(self.utterance), **self.said.to_json()}


def timeline(
    model: TrainedModel,
    path: Path,
    cutting: Cutting = USUAL,
    hears: Hears | None = None,
    cache: str | None = None,
    listener: Listener | None = None,
) -> list[Part]:
    """A video's utterances in order, cut as `smp segment` cuts them; none where nobody speaks.

    hears: tells the words; without it utterances have no text. cache, listener: as in a call of
    the model. Raises ClipError for a file without sound, or one that can't be read.
    """
    found = segment(str(path), cutting, hears)
    clips = [_clip(path, one) for one in found]
    if not clips:
        return []
    with TemporaryDirectory(prefix="smp-timeline-") as temporary:
        where = cache or f"{temporary}/cache"
        said = model(clips, where, listener)
        faces = _faces(model, open_cache(where), {clip.id for clip in clips})
    parts = zip(found, said, clips, strict=True)
    return [Part(one, prediction, faces.get(clip.id, ())) for one, prediction, clip in parts]


def _clip(path: Path, one: Utterance) -> Clip:
    whole = str(path.absolute())
    video, audio = (whole, None) if path.suffix.lower() in VIDEOS else (None, whole)
    id = f"{path.stem}/{one.start_s:08.3f}"
    return Clip(id, video, audio, one.text, start_s=one.start_s, end_s=one.end_s)


def _faces(model: TrainedModel, cache: Cache, ids: set[str]) -> dict[str, Sequence[np.ndarray]]:
    """By clip, faces that its features were made of, if the model looks at any."""
    is_of_faces = (s.name for s in model.stages if s.stored and s.kind.about.panel == PANEL)
    stage = next(is_of_faces, None)
    return dict(_some(cache, stage, ids)) if stage else {}


def _some(cache: Cache, stage: str, ids: set[str]) -> Iterator[tuple[str, Sequence[np.ndarray]]]:
    view = cache[stage]
    for partition in sorted(view.commits) if FIELD in view.store.fields else ():
        begin = partition * view.store.partition
        for number, result in enumerate(view.rows(partition, [FIELD]), begin):
            if cache.table.ids[number] in ids and result.state == OK:
                images = result.rows[FIELD]
                yield cache.table.ids[number], images[sample_indices(len(images), FACES)]
