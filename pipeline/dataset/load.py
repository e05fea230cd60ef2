"""A dataset read from its folder or manifest: an ordered table of clips."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.dataset.clip import Clip
from pipeline.dataset.language import language_of
from pipeline.dataset.layouts import archive_of, entries, name_of, table_of
from pipeline.dataset.target import Target, all_targets, read_targets, within
from pipeline.errors import UserError


@dataclass(frozen=True)
class Dataset:
    """A dataset's name, its folder and its clips in the order of its table.

    is_open: clips come and go at will, so that a cache of it may hold none of today's. declared:
    the targets that it says it has. notes: what of its values was left out.
    """

    name: str
    root: Path
    clips: tuple[Clip, ...]
    is_open: bool = False
    declared: tuple[Target, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[Target, ...]:
        """What can be predicted: the declared targets, and those that its columns make."""
        return all_targets(self.declared, self.clips)

    @property
    def language(self) -> str:
        """`zh` where most of the transcripts hold Han characters, else `en`."""
        return language_of([clip.text for clip in self.clips if clip.text.strip()])


def load(path: str | Path, test: str = "") -> Dataset:
    """The dataset at `path`: a folder with `label.csv`, or a manifest (`.csv`, `.jsonl`).

    The folder's layout is the one that MMSA tools share for CMU-MOSI and CH-SIMS: `label.csv` with
    `video_id, clip_id, text, label, annotation, mode` (`label_T, label_A, label_V` for CH-SIMS)
    beside `Raw/<video_id>/<clip_id>.mp4`; or it is a public archive as it unpacks
    (`pipeline/dataset/adapters`). A manifest has `id, video, audio, text, label, split`, paths
    relative to it; `video`, `audio` and every `label_…` (a further score) and `class_…` (the name
    of a class) are optional, and so is `label` where there are such; so are `start` and `end`,
    seconds of a clip that is a stretch of longer files. `targets.yaml` beside the table says what
    the columns are (`pipeline/dataset/target.py`).

    test: which of its test splits, where an archive has several. Raises UserError with file and
    line for what can't be right.
    """
    table = table_of(path)
    clips: list[Clip] = []
    for _, clip in entries(path, test):
        if isinstance(clip, UserError):
            raise clip
        clips.append(clip)
    if not clips:
        raise UserError(f"{table if table.is_file() else path}: holds no clips")
    declared = declared_by(path, table)
    kept, notes = within(clips, declared)
    root = Path(os.path.abspath(table.parent))
    return Dataset(name_of(path), root, kept, declared=declared, notes=notes)


def declared_by(path: str | Path, table: Path) -> tuple[Target, ...]:
    """The targets of the file beside the dataset's table, or else those of its archive."""
    archive = None if table.is_file() else archive_of(path)
    return read_targets(table) or (archive.targets if archive else ())
