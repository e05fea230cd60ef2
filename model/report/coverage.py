"""Coverage: what each stage made of each clip, and which clips are incomplete, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from model.report.context import ReportContext, Section
from model.report.faces import Thumbnail, thumbnails
from pipeline.messages import grouped
from pipeline.stage.result import DOUBTFUL, FAILED, MISSING, OK, STALE
from pipeline.store.status import StageStatus, problems_at_source, stale_once

MOST_PROBLEMS = 5000  # rows of the table: the page stays within a few megabytes
MOST_REASONS = 10
MOST_FACES = 24
NOTE = "note"
STATES = (FAILED, MISSING, STALE, DOUBTFUL, NOTE)


@dataclass(frozen=True)
class Covered:
    """How many clips of a stage are in each state.

    doubtful: those of the ok ones whose features may mislead; stale: those whose files are gone;
    todo: not extracted yet, or damaged. random_weights: the stages with such weights on which its
    features rest.
    """

    stage: str
    ok: int
    doubtful: int
    missing: int
    failed: int
    todo: int
    width: int | None
    megabytes: float
    random_weights: Sequence[str] = ()
    stale: int = 0

    def share(self, count: int) -> float:
        """In per cent of all clips."""
        return 100 * count / (self.ok + self.missing + self.failed + self.todo or 1)


@dataclass(frozen=True)
class ProblemFound:
    """A clip with the stage where its trouble arose. state: one of STATES."""

    clip: str
    stage: str
    state: str
    reason: str


@dataclass(frozen=True)
class Coverage:
    """stages: in their order. left_out: problems beyond those that are listed. reasons: how many
    clips share one, and one of them. extract: the command that goes on.
    """

    stages: Sequence[Covered]
    problems: Sequence[ProblemFound]
    left_out: int
    reasons: Sequence[tuple[int, ProblemFound]]
    faces: Sequence[Thumbnail]
    extract: str

    @property
    def states(self) -> list[str]:
        """Those that occur, in the order of their weight."""
        found = {problem.state for problem in self.problems}
        return [state for state in STATES if state in found]

    @property
    def troubled(self) -> list[str]:
        """The stages that have problems, in their order."""
        found = {problem.stage for problem in self.problems}
        return [stage.stage for stage in self.stages if stage.stage in found]


def section(context: ReportContext) -> Section:
    """States by stage, problems by clip, and some faces."""
    problems = _problems(context.stages)
    content = Coverage(
        [_covered(stage, len(context.clips)) for stage in context.stages],
        problems[:MOST_PROBLEMS],
        max(0, len(problems) - MOST_PROBLEMS),
        _reasons(problems),
        thumbnails(context, MOST_FACES),
        context.command("extract"),
    )
    return Section("coverage", "Coverage", content)


def _covered(stage: StageStatus, clips: int) -> Covered:
    ok, missing, failed = (stage.counts[state] for state in (OK, MISSING, FAILED))
    todo, megabytes = clips - ok - missing - failed, stage.size_bytes / 1e6
    return Covered(
        stage.stage,
        ok,
        len(stage.doubts),
        missing,
        failed,
        todo,
        stage.width,
        megabytes,
        stage.random_weights,
        len(stage.stale),
    )


def _problems(stages: Sequence[StageStatus]) -> list[ProblemFound]:
    """What failed, is missing, is stale, then doubts and notes; in each by stage and clip."""
    found = [
        ProblemFound(problem.clip, stage, problem.state, problem.reason)
        for stage, problem in problems_at_source(list(stages))
    ]
    found += [ProblemFound(clip, stage, STALE, why) for stage, clip, why in stale_once(stages)]
    found += [ProblemFound(clip, s.stage, DOUBTFUL, why) for s in stages for clip, why in s.doubts]
    found += [ProblemFound(clip, s.stage, NOTE, note) for s in stages for clip, note in s.notes]
    return sorted(found, key=lambda problem: STATES.index(problem.state))


def _reasons(problems: Sequence[ProblemFound]) -> list[tuple[int, ProblemFound]]:
    """The reasons that several clips share, the most frequent first, each with one of them."""
    alike: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for problem in problems:
        alike[problem.stage, problem.state].append((problem.clip, problem.reason))
    shared = [
        (len(group.clips), ProblemFound(group.clips[0], stage, state, group.reason))
        for (stage, state), reasons in alike.items()
        for group in grouped(reasons)
        if len(group.clips) > 1
    ]
    return sorted(shared, key=lambda one: -one[0])[:MOST_REASONS]
