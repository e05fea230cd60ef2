"""A dataset read from its folder or manifest: an ordered table of clips."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.dataset.clip import Clip
from pipeline.dataset.language import language_of
from pipeline.dataset.layouts import entries, name_of, table_of
from pipeline.errors import UserError


@dataclass(frozen=True)
class Dataset:
    """A dataset's name, its folder and its clips in the order of its table.

    is_open: clips come and go at will, so that a cache of it may hold none of today's.
    """

    name: str
    root: Path
    clips: tuple[Clip, ...]
    is_open: bool = False

    @property
    def language(self) -> str:
        """`zh` where most of the transcripts hold Han characters, else `en`."""
        return language_of([clip.text for clip in self.clips if clip.text.strip()])


def load(path: str | Path) -> Dataset:
    """The dataset at `path`: a folder with `label.csv`, or a manifest (`.csv`, `.jsonl`).

    The folder's layout is the one that MMSA tools share for CMU-MOSI and CH-SIMS: `label.csv` with
    `video_id, clip_id, text, label, annotation, mode` (`label_T, label_A, label_V` for CH-SIMS)
    beside `Raw/<video_id>/<clip_id>.mp4`; or it is the public CMU-MOSI archive, with or without a
    `label.csv`. A manifest has `id, video, audio, text, label, split`, paths relative to it;
    `video`, `audio` and every `label_…` are optional, and so are `start` and `end`, seconds of a
    clip that is a stretch of longer files.

    Raises UserError with file and line for what can't be right.
    """
    table = table_of(path)
    clips: list[Clip] = []
    for _, clip in entries(path):
        if isinstance(clip, UserError):
            raise clip
        clips.append(clip)
    if not clips:
        raise UserError(f"{table}: holds no clips")
    return Dataset(name_of(path), Path(os.path.abspath(table.parent)), tuple(clips))
