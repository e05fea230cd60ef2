"""How far a dataset's extraction is: by stage, partitions, clips and what is wrong with which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.stage.result import FAILED, MISSING, OK
from pipeline.store.cache import Cache
from pipeline.store.stage_view import StageView
from pipeline.weights.random_weights import RANDOM_MARK


@dataclass(frozen=True)
class Problem:
    """A clip that a stage has no features of. state: "missing" or "failed"."""

    clip: str
    state: str
    reason: str


@dataclass(frozen=True)
class StageStatus:
    """One stage.

    partitions: (done, all); width: of the first field; notes: on ok clips; doubts: why
    the features of some may mislead; stale: which files of ok clips are gone; damaged: the commits
    that can't be believed, by partition: it is to be made again. previous: how many partitions of
    earlier features are kept, and their bytes. weights: the id of its own, if it
    has any; random_weights: the stages with random ones on which its features rest.
    """

    stage: str
    fingerprint: str
    partitions: tuple[int, int]
    counts: dict[str, int]
    problems: tuple[Problem, ...]
    notes: tuple[tuple[str, str], ...]
    doubts: tuple[tuple[str, str], ...]
    width: int | None
    size_bytes: int
    damaged: dict[int, str] = field(default_factory=dict)
    weights: str | None = None
    random_weights: tuple[str, ...] = ()
    stale: tuple[tuple[str, str], ...] = ()
    previous: tuple[int, int] = (0, 0)

    @property
    def marked(self) -> str:
        """Its name, marked where its features rest on random weights."""
        return f"{self.stage} {RANDOM_MARK}" if self.random_weights else self.stage

    def to_json(self) -> dict[str, Any]:
        """The stage's entry in `smp status --json`."""
        return {
            "fingerprint": self.fingerprint,
            "partitions": list(self.partitions),
            "clips": self.counts,
            "problems": [{"clip": p.clip, "reason": p.reason} for p in self.problems],
            "notes": [{"clip": clip, "note": note} for clip, note in self.notes],
            "doubtful": [{"clip": clip, "doubt": doubt} for clip, doubt in self.doubts],
            "stale": [{"clip": clip, "reason": reason} for clip, reason in self.stale],
            "width": self.width,
            "bytes": self.size_bytes,
            "previous": {"partitions": self.previous[0], "bytes": self.previous[1]},
            "weights": self.weights,
            "random_weights": list(self.random_weights),
            "damaged": [{"partition": n, "what": what} for n, what in self.damaged.items()],
        }


def status(cache: Cache) -> list[StageStatus]:
    """The state of every stage as last extracted."""
    return [_stage_status(cache, view) for view in cache.values()]


def random_stages(stages: Sequence[StageStatus]) -> list[str]:
    """The stages with random weights on which features of any of `stages` rest."""
    return list(dict.fromkeys(name for stage in stages for name in stage.random_weights))


def problems_at_source(stages: list[StageStatus]) -> list[tuple[str, Problem]]:
    """Stage and problem, each where it arose: what only follows from it downstream is left out."""
    names = tuple(f"{stage.stage}: " for stage in stages)
    return [
        (stage.stage, problem)
        for stage in stages
        for problem in stage.problems
        if not problem.reason.startswith(names)
    ]


def stale_once(stages: Sequence[StageStatus]) -> list[tuple[str, str, str]]:
    """Stage, clip and which of its files are gone, at the first stage that has features of them."""
    first: dict[tuple[str, str], str] = {}
    for stage in stages:
        for pair in stage.stale:
            first.setdefault(pair, stage.stage)
    return [(stage, *pair) for pair, stage in first.items()]


def _stage_status(cache: Cache, view: StageView) -> StageStatus:
    rows, table = view.committed, cache.table
    size = view.store.partition
    partitions = -(-len(table.rows) // size)
    lacking = {number // size for number in table.present if number not in rows}
    ids, stale = table.ids, table.why_stale(view.identity["reads"])
    counts = Counter(row.state for row in rows.values())
    previous = view.previous_store
    kept = len(previous.commits())
    return StageStatus(
        stage=view.name,
        fingerprint=view.fingerprint,
        partitions=(partitions - len(lacking), partitions),
        counts={state: counts[state] for state in (OK, MISSING, FAILED)},
        problems=tuple(
            Problem(ids[n], row.state, row.reason) for n, row in rows.items() if row.state != OK
        ),
        notes=tuple((ids[n], r.reason) for n, r in rows.items() if r.state == OK and r.reason),
        doubts=tuple((ids[n], row.doubt) for n, row in rows.items() if row.doubt),
        width=view.width,
        size_bytes=view.store.folder.size_bytes(),
        previous=(kept, previous.folder.size_bytes() if kept else 0),
        damaged={n: commit.damage for n, commit in view.commits.items() if commit.damage},
        weights=view.identity.get("weights_id"),
        random_weights=tuple(view.random_weights),
        stale=tuple((ids[n], why) for n, why in stale.items() if n in rows and rows[n].state == OK),
    )
