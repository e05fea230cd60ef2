"""Clips' faces from the cache as small pictures: read only where they are shown."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from model.report.context import ReportContext
from pipeline.errors import DamagedError
from pipeline.html import data_uri, strip
from pipeline.stage.steps import sample_indices
from pipeline.store.stage_view import StageView

PANEL, FIELD = "faces", "images"
SIZE_PX = 72
QUALITY = 72


@dataclass(frozen=True)
class Thumbnail:
    """Faces of a clip side by side, as the `src` of an <img>. count: how many."""

    clip: str
    src: str
    count: int

    @property
    def width_px(self) -> int:
        return self.count * SIZE_PX

    @property
    def height_px(self) -> int:
        return SIZE_PX


def thumbnails(context: ReportContext, most: int) -> list[Thumbnail]:
    """The middle face of up to `most` clips from all over the dataset."""
    view = context.drawn_as(PANEL)
    ids = list(context.rows(view)) if view else []
    spread = [ids[i] for i in sample_indices(len(ids), most)]
    return list(strips(context, spread, 1).values())


def strips(context: ReportContext, clips: Collection[str], count: int) -> dict[str, Thumbnail]:
    """By clip, `count` faces or fewer, evenly over its time; a clip without faces is not in it."""
    view = context.drawn_as(PANEL)
    if view is None or FIELD not in view.store.fields:
        return {}
    rows = context.rows(view)
    wanted = {rows[clip]: clip for clip in clips if clip in rows}
    found = {}
    for partition in sorted({row // view.store.partition for row in wanted}):
        for row, images in _images(view, partition, wanted):
            found[wanted[row]] = _thumbnail(wanted[row], images, count)
    return {clip: found[clip] for clip in clips if clip in found}


def _images(
    view: StageView, partition: int, wanted: Collection[int]
) -> list[tuple[int, np.ndarray]]:
    first = partition * view.store.partition
    try:
        results = enumerate(view.rows(partition, [FIELD]), first)
        return [(row, result.rows[FIELD]) for row, result in results if row in wanted]
    except DamagedError:  # `smp verify` tells of it; a page goes on without these pictures
        return []


def _thumbnail(clip: str, images: Sequence[np.ndarray] | np.ndarray, count: int) -> Thumbnail:
    middle = [len(images) // 2] if count == 1 else sample_indices(len(images), count)
    chosen = [images[i] for i in middle]
    return Thumbnail(clip, data_uri(strip(chosen, SIZE_PX), quality=QUALITY), len(chosen))
