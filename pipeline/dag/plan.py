"""Which partitions of which stages lack a commit, and why: the plan is the resume."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.dag.changes import AGAIN, Before, Lack
from pipeline.dag.stage import Stage, Stages
from pipeline.dataset.clip import Clip
from pipeline.dataset.load import Dataset
from pipeline.io.file_digests import Seen
from pipeline.io.folder import Folder
from pipeline.messages import counted
from pipeline.stage.result import FAILED, OK
from pipeline.store.cache import last_known, store_url
from pipeline.store.clips_table import ClipsTable, Row, merged
from pipeline.store.commit import Commit, RowState
from pipeline.store.store import Store

TaskId = tuple[int, str]
REMOVED = "removed from the dataset"  # said of a clip that was gone when its partition was made
Identities = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class TaskRow:
    """A clip in a task, with the key under which its result is committed.

    again: to be computed though there is a result under that key. files: the media that the task
    opens for it, as they were when the key was made.
    """

    clip: Clip
    key: str
    removed: bool
    again: bool = False
    files: tuple[Seen, ...] = ()


@dataclass(frozen=True)
class Task:
    """One partition of one stage: paths and indices, never frames or tensors.

    spec: the resolved stages file. stores: the store of the stage and of those that it needs.
    clips: how many clips these have. traced: whether to record what is done when.
    """

    stage: str
    partition: int
    rows: tuple[TaskRow, ...]
    needs: tuple[str, ...]
    spec: Mapping[str, Any]
    stores: Mapping[str, str]
    clips: int
    traced: bool = False

    @property
    def id(self) -> TaskId:
        """Partition and stage: unique in a plan."""
        return self.partition, self.stage

    @property
    def waits_for(self) -> list[TaskId]:
        """The tasks that must be done before this one, should they be in the plan."""
        return [(self.partition, need) for need in self.needs]


@dataclass(frozen=True)
class StagePlan:
    """What one stage lacks: its tasks, of all its partitions, for how many clips, and why.

    why: also tells what is new where there is no task, since the store is there already.
    """

    stage: str
    partitions: int
    tasks: tuple[Task, ...]
    clips: int = 0
    why: tuple[str, ...] = ()

    def __str__(self) -> str:
        why = f" — {'; '.join(self.why)}" if self.why else ""
        size = f"{counted(len(self.tasks), 'partition')}, {counted(self.clips, 'clip')}"
        return f"{self.stage}: {size}{why}"


@dataclass(frozen=True)
class Plan:
    """All that a run starts from: read, and nothing of it written yet.

    changes: of the dataset's clips since the last run.
    """

    cache_url: str
    table: ClipsTable
    stages: Stages
    chosen: tuple[Stage, ...]
    identities: Identities
    by_stage: tuple[StagePlan, ...]
    changes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What `smp extract --plan --json` prints."""
        stages = {
            plan.stage: {
                "fingerprint": self.identities[plan.stage]["fingerprint"],
                "partitions": [len(plan.tasks), plan.partitions],
                "clips": plan.clips,
                "why": list(plan.why),
            }
            for plan in self.by_stage
        }
        return {"cache": self.cache_url, "changes": list(self.changes), "stages": stages}


def prepare(
    dataset: Dataset,
    stages_file: str | Path | Stages,
    cache_url: str,
    name: str | None = None,
    only: Sequence[str] = (),
    retry: bool = False,
) -> Plan:
    """The plan for a dataset and its cache, neither of which is touched.

    stages_file: its path, or what was read. retry: clips that failed are computed again. Raises
    UserError where the dataset, the stages file or its weights can't be used.
    """
    folder = Folder(cache_url)
    known = ClipsTable.read(folder)
    table = merged(known, dataset, name)
    stages = (
        stages_file if isinstance(stages_file, Stages) else Stages.load(stages_file, table.language)
    )
    chosen = stages.chosen(only)
    identities = stages.identities(chosen)
    planner = _Planner(stages, identities, table, cache_url, retry)
    before = Before(last_known(folder), known.rows if known else ())
    by_stage = []
    for stage in chosen:
        if stage.stored:
            planned = planner.plan(stage)
            lacking = planner.lacking[stage.name]
            why = before.why(stage.name, identities[stage.name], table.rows, lacking)
            by_stage.append(replace(planned, why=why))
    clips = before.clips(table) if known else ()
    return Plan(cache_url, table, stages, tuple(chosen), identities, tuple(by_stage), clips)


class _Planner:
    """Plans one stage after the other, each after those that it needs.

    lacking: by stage, the number of every row that has to be computed, and why.
    """

    def __init__(
        self, stages: Stages, identities: Identities, table: ClipsTable, url: str, retry: bool
    ) -> None:
        self.stages, self.table, self.retry = stages, table, retry
        self.urls = {
            name: store_url(url, name, identity["fingerprint"])
            for name, identity in identities.items()
            if stages[name].stored
        }
        self.commits: dict[str, dict[int, Commit]] = {}
        self.lacking: dict[str, dict[int, Lack]] = {}
        self._keys: dict[frozenset[str], list[str]] = {}  # of all clips, by what a stage reads

    def plan(self, stage: Stage) -> StagePlan:
        """What lacks in the stage's store."""
        self.commits[stage.name] = Store(self.urls[stage.name]).commits()
        self.lacking[stage.name] = {}
        partitions = -(-len(self.table.rows) // self.stages.partition)
        tasks = []
        for number in range(partitions):
            if lacking := dict(self._lacks(stage, number)):
                self.lacking[stage.name] |= lacking
                tasks.append(self._task(stage, number, lacking))
        return StagePlan(stage.name, partitions, tuple(tasks), len(self.lacking[stage.name]))

    def _rows(self, number: int) -> Iterable[tuple[int, Row]]:
        """The rows of a partition with their numbers in the table."""
        start = number * self.stages.partition
        return enumerate(self.table.rows[start : start + self.stages.partition], start)

    def _keys_of(self, stage: Stage) -> list[str]:
        """The key of every clip, the same for all stages that depend on the same parts."""
        reads = self.stages.reads(stage)
        if reads not in self._keys:
            parts = sorted(reads)
            self._keys[reads] = [row.key(parts) for row in self.table.rows]
        return self._keys[reads]

    def _lacks(self, stage: Stage, number: int) -> Iterator[tuple[int, Lack]]:
        """Each row of a partition that has to be computed, and why."""
        keys, commit = self._keys_of(stage), self.commits[stage.name].get(number)
        held = {state.key: state for state in commit.rows} if commit else {}
        for i, row in self._rows(number):
            state = held.get(keys[i])
            if row.removed:
                continue
            if commit is None or commit.damage:
                yield i, Lack.DAMAGE if commit else Lack.COMMIT
            elif state is None:
                ids = {key.rpartition("@")[0] for key in held}
                yield i, Lack.CONTENT if keys[i].rpartition("@")[0] in ids else Lack.CLIP
            elif state.state != OK and (lack := self._lack_of_features(stage, number, i, state)):
                yield i, lack

    def _lack_of_features(self, stage: Stage, number: int, i: int, state: RowState) -> Lack | None:
        """Why a row is computed again though its commit says that it has no features."""
        if self.retry and state.state == FAILED:
            return Lack.SUCCESS
        if state.reason == REMOVED:
            return Lack.BACK
        return Lack.UPSTREAM if self._is_outdated(stage, number, i, state) else None

    def _is_outdated(self, stage: Stage, number: int, i: int, state: RowState) -> bool:
        """Whether a row has no features because of one upstream that is another now."""
        for need in stage.needs:
            if need not in self.urls or not state.reason.startswith(f"{need}: "):
                continue
            if i in self.lacking[need]:
                return state.state == FAILED
            commit = self.commits[need].get(number)
            sources = commit.rows[i - number * self.stages.partition :][:1] if commit else ()
            told = [(source.state, f"{need}: {source.reason}") for source in sources]
            return told != [(state.state, state.reason)]
        return False

    def _task(self, stage: Stage, number: int, lacking: Mapping[int, Lack]) -> Task:
        keys, opens = self._keys_of(stage), self._opens(stage)
        rows = tuple(
            TaskRow(
                row.clip,
                keys[i],
                row.removed,
                lacking.get(i) in AGAIN,
                tuple(file for part, file in row.files.items() if part in opens),
            )
            for i, row in self._rows(number)
        )
        stores = {name: self.urls[name] for name in (stage.name, *stage.needs) if name in self.urls}
        clips = len(self.table.rows)
        return Task(stage.name, number, rows, stage.needs, self.stages.spec, stores, clips)

    def _opens(self, stage: Stage) -> frozenset[str]:
        """The parts of a clip that the stage's own tasks open, for what is streamed to them too."""
        streams = (self.stages[need] for need in stage.needs if not self.stages[need].stored)
        return stage.kind.reads.union(*(self._opens(stream) for stream in streams))
