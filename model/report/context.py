"""What a report is made from: a dataset's clips, its cache if there is one, and what it trained."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.experiments.folder import ExperimentFound
from model.runs.run import Run
from pipeline.dag.stage import about
from pipeline.dataset.clip import Clip
from pipeline.dataset.target import Target
from pipeline.stage.result import OK
from pipeline.store.cache import Cache
from pipeline.store.stage_view import StageView
from pipeline.store.status import StageStatus

NOT_TAKEN = ("extract", "runs")  # an option that a command does not have


@dataclass(frozen=True)
class ReportContext:
    """All that the parts of a report read.

    dataset, options: as the user gave them, for the commands that a report suggests. clips: in the
    cache's order where there is a cache. stages: as last extracted. targets: what can be predicted.
    unreadable: what is wrong with folders of results that can't be read.
    """

    name: str
    dataset: str
    options: Mapping[str, str]
    language: str
    clips: Sequence[Clip]
    cache: Cache | None = None
    stages: Sequence[StageStatus] = ()
    targets: Sequence[Target] = ()
    runs: Sequence[Run] = ()
    experiments: Sequence[ExperimentFound] = ()
    unreadable: Sequence[str] = ()

    def command(self, name: str, *arguments: str) -> str:
        """A command that makes what is not there yet, as the user would type it.

        In the place of an extraction, that which imported the features, where they were.
        """
        if name == "extract" and self.cache is not None and self.cache.imported_from:
            return self.cache.command
        given = {key: value for key, value in self.options.items() if (name, key) != NOT_TAKEN}
        options = [word for key, value in given.items() for word in (f"--{key}", value)]
        return shlex.join(["smp", name, self.dataset, *arguments, *options])

    def view(self, stage: str) -> StageView | None:
        """A stage's features, None where it was not extracted."""
        return self.cache[stage] if self.cache is not None and stage in self.cache else None

    def drawn_as(self, panel: str) -> StageView | None:
        """The first stage that a clip's page draws by that panel; None where none was extracted."""
        views = self.cache.values() if self.cache is not None else ()
        return next((view for view in views if about(view).panel == panel), None)

    def rows(self, view: StageView) -> dict[str, int]:
        """By clip id, the row in the store of every clip that has features of the stage."""
        assert self.cache is not None
        numbers = zip(self.cache.table.present, self.clips, strict=True)
        states = view.committed
        return {
            clip.id: number
            for number, clip in numbers
            if number in states and states[number].state == OK
        }


@dataclass(frozen=True)
class Section:
    """A part of the page: the template `<id>.html` shows `content`, in which it is `it`."""

    id: str
    title: str
    content: Any
