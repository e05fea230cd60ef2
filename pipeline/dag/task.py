"""The unit of work: one partition of one stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.dataset.clip import Clip
from pipeline.io.file_digests import Seen

TaskId = tuple[int, str]
REMOVED = "removed from the dataset"  # why a clip that was gone in its partition's task has no row
OVERTAKEN = "changed while this ran; run again"  # the end of why one failed whose file did
GONE = "can't be made, its "  # and one whose file was; what follows is which


@dataclass(frozen=True)
class TaskRow:
    """A clip in a task, with the key under which its result is committed.

    again: to be computed though there is a result under that key. files: the media that the task
    opens for it, as they were when the key was made. gone: which of these is there no more; what
    was made of it before is kept, and nothing new can be.
    """

    clip: Clip
    key: str
    removed: bool
    again: bool = False
    files: tuple[Seen, ...] = ()
    gone: str = ""


@dataclass(frozen=True)
class Task:
    """Paths and indices, never frames or tensors, so that it is cheap to send.

    spec: the resolved stages file. stores: the store of the stage and of those that it needs.
    clips: how many clips these have. traced: whether to record what is done when. keeps: whether
    what its commit replaces is kept as the previous generation.
    """

    stage: str
    partition: int
    rows: tuple[TaskRow, ...]
    needs: tuple[str, ...]
    spec: Mapping[str, Any]
    stores: Mapping[str, str]
    clips: int
    traced: bool = False
    keeps: bool = False

    @property
    def id(self) -> TaskId:
        """Partition and stage: unique in a plan."""
        return self.partition, self.stage

    @property
    def waits_for(self) -> list[TaskId]:
        """The tasks that must be done before this one, should they be in the plan."""
        return [(self.partition, need) for need in self.needs]
