"""A dataset's archive held against what was published of it: clips a split, and of each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.checks.clip import CheckedClip, Issue
from pipeline.dataset.adapter import Adapter
from pipeline.dataset.adapters.ch_sims import ChSims
from pipeline.dataset.adapters.cmu_mosi import CmuMosi
from pipeline.messages import listed

NAMED = 20  # clips, or classes
DIFFERS = "not as published"


def sizes(archive: Adapter | None) -> dict[str, Mapping[str, int]]:
    """The published clips by dataset and split.

    A table may be of any dataset; beside its clips are those of the two that often come as one.
    """
    known = (archive,) if archive else (CmuMosi(Path()), ChSims(Path()))
    return {one.title: one.published.sizes for one in known}


def differences(archive: Adapter, checked: Sequence[CheckedClip]) -> Iterator[Issue]:
    """What lacks, can't be used or is too many, by split; classes of another number of clips."""
    if archive.folds and not any(one.clip.split for one in checked):
        where = f"{archive.title}'s splits are in {archive.folds} of its SDK; copy it"
        yield Issue("no splits", str(archive.root), f"{where} into this folder")
    for split, size in archive.published.sizes.items():
        own = [one for one in checked if one.clip.split == split]
        unusable = [one.clip.id for one in own if any(issue.fails for issue in one.issues)]
        if len(own) != size or unusable:
            clips = f"{len(own) - len(unusable)} of {size} published clips"
            told = f"; unusable: {listed(unusable, NAMED)}" if unusable else ""
            yield Issue(DIFFERS, split or "in no split", f"{clips}{told}")
        for column, classes in archive.published.of_classes(split).items():
            name = column.removeprefix("class_")
            found = Counter(one.clip.classes.get(name, "") for one in own)
            others = [f"{c} {found[c]} of {n}" for c, n in classes.items() if found[c] != n]
            if others:
                yield Issue(DIFFERS, split, f"{name}: {listed(others, NAMED)}")
